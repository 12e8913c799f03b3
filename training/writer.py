"""Writing a bundle: whole or not at all.

Files go to a hidden sibling folder first, which is then renamed; a reader never sees half a
bundle, and an interrupted export leaves the old version in place.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import CARD_FILE, GRAPH_FILE, MANIFEST_FILE, VECTORS_FILE, Manifest
from app.bundle.reader import Golden
from app.core.errors import BundleError


def pack_vectors(start: NDArray[np.float32], golden: Golden) -> bytes:
    arrays: dict[str, NDArray[np.generic]] = {
        "start": start,
        "steps": golden.steps,
        "state_out": golden.state_out,
        **{f"output.{name}": value for name, value in golden.outputs.items()},
    }
    if golden.sources is not None:
        given = {key: getattr(golden.sources, key) for key in ("inputs", "lengths", "rows", "attended")}
        arrays |= {f"source.{key}": value for key, value in given.items() if value is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def write_bundle(
    folder: Path, manifest: Manifest, graph: bytes, vectors: bytes, files: dict[str, bytes], card: str
) -> Path:
    """Write ``<folder>/<name>/<version>``, replacing an earlier bundle of that version; returns its folder.

    Args:
        manifest: everything but ``files``, which is filled in here.
        files: further files by name, such as the tokenizer.
        card: Markdown text of the model card.

    Raises:
        BundleError: the folder cannot be written.
    """
    contents = {GRAPH_FILE: graph, VECTORS_FILE: vectors, **files, CARD_FILE: card.encode()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    final = manifest.model_copy(update={"files": digests})
    target = folder / manifest.name / manifest.version
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
        try:
            staging.chmod(0o755)
            for name, data in contents.items():
                (staging / name).write_bytes(data)
            (staging / MANIFEST_FILE).write_text(_written(final), encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise BundleError(f"cannot write the bundle {manifest.reference}: {error.strerror}") from error
    return target


def _written(manifest: Manifest) -> str:
    """Without fields that say nothing: a server of an earlier version refuses those that it does not know."""
    whole, told = manifest.model_dump(mode="json"), manifest.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(_telling(whole, told), indent=2, ensure_ascii=False) + "\n"


def _telling(whole: Any, told: Any) -> Any:
    """``whole`` without the null, false and empty values that are not in ``told`` as well."""
    if isinstance(whole, dict):
        return {
            name: _telling(value, told.get(name, value))
            for name, value in whole.items()
            if name in told or not (value is None or value is False or value in ([], {}))
        }
    if isinstance(whole, list):
        return [_telling(*pair) for pair in zip(whole, told, strict=True)]
    return whole
