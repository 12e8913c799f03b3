"""Reading a bundle: a folder on disk becomes a verified ``Bundle`` value.

Files are checked against the manifest's sha256 before anything in them is parsed; arrays are
read with pickling disabled.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.bundle.external_data import refuse_external_data
from app.bundle.manifest import (
    ENCODER_FILE,
    GRAPH_FILE,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    VECTORS_FILE,
    EncoderSpec,
    Manifest,
    wrong_field,
)
from app.core.errors import BundleError, DigestMismatch, InvalidManifest
from app.core.sequence import Encoded

MAX_MANIFEST_BYTES = 4 << 20
MAX_VECTORS_BYTES = 256 << 20
"""Of the file, and of what it unpacks to."""
MAX_FILE_BYTES = (2 << 30) - 1
"""Of any other file; ONNX allows no larger graph."""


@dataclass(frozen=True, slots=True)
class GoldenSources:
    """Whole inputs, and what PyTorch's encoder made of them.

    Attributes:
        inputs: tokens ``[batch, T]``, each padded to the longest, or numbers ``[batch, *shape]``.
        lengths: int64 ``[batch]`` of tokens.
        rows: ``[batch, S]``.
        attended: ``[batch, L, C]``, zeros behind each length; ``None`` where nothing is attended to.
    """

    inputs: NDArray[np.generic]
    lengths: NDArray[np.int64] | None
    rows: NDArray[np.float32]
    attended: NDArray[np.float32] | None

    def encoded(self) -> list[Encoded]:
        """Each without padding."""
        if self.attended is None:
            return [Encoded(row) for row in self.rows]
        lengths = [None] * len(self.rows) if self.lengths is None else self.lengths.tolist()
        return [
            Encoded(row, attended[:length])
            for row, attended, length in zip(self.rows, self.attended, lengths, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Golden:
    """One recorded input with PyTorch's answer: ``[batch, time, ...]``, all steps read.

    ``state_out`` are the rows ``[batch, S]`` after the last step, begun from the start row or, with
    ``sources``, from what the encoder made of these.
    """

    steps: NDArray[np.generic]
    outputs: dict[str, NDArray[np.float32]]
    state_out: NDArray[np.float32]
    sources: GoldenSources | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; ``start`` is the row ``[S]`` of a new sequence, ``tokenizer`` the JSON of one.

    ``encoder`` is a second graph, where the manifest describes one.
    """

    manifest: Manifest
    graph: bytes
    start: NDArray[np.float32]
    golden: Golden
    tokenizer: str | None
    encoder: bytes | None = None


def find_bundles(folder: Path) -> list[Path]:
    """The folders ``<folder>/<name>/<version>``, versions ascending; raises BundleError for no folder."""
    if not folder.is_dir():
        raise BundleError(
            f"the models folder {str(folder)!r} does not exist or is not a directory; name another with "
            "--models, or get the models of this release: rnnserve models fetch"
        )
    found = (path.parent for path in folder.glob(f"*/*/{MANIFEST_FILE}"))
    shown = (path for path in found if not path.name.startswith("."))
    return sorted(shown, key=lambda path: (path.parent.name, version_key(path.name)))


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts versions as people count: 2 before 10, 1.2 before 1.10."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def read_manifest(folder: Path) -> Manifest:
    """Raises InvalidManifest, which names the first wrong field."""
    try:
        data = read_regular(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
    except OSError as error:
        raise InvalidManifest(f"cannot read {MANIFEST_FILE}: {error.strerror}") from error
    return parse_manifest(data)


def read_regular(path: Path, max_bytes: int) -> bytes:
    """A file that is one. Opening a pipe would wait for its writer, and a device has no end.

    Raises:
        OSError: it is none, is larger, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if found.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes")
        return file.read(max_bytes)


def parse_manifest(data: bytes) -> Manifest:
    """Raises InvalidManifest, which names the first wrong field."""
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise wrong_field(error) from error


def read_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle.

    Raises:
        InvalidManifest: the manifest is malformed, or does not list graph and vectors.
        DigestMismatch: a file differs from its recorded sha256.
        BundleError: a file is missing or cannot be parsed.
    """
    manifest = read_manifest(folder)
    files = {name: _read_file(folder, name, digest) for name, digest in manifest.files.items()}
    for name in (GRAPH_FILE, VECTORS_FILE):
        if name not in files:
            raise InvalidManifest(f"{manifest.reference}: the manifest lists no {name}")
    encoder = files.get(ENCODER_FILE)
    if (encoder is None) != (manifest.encoder is None):
        which = "lists no" if encoder is None else "describes no encoder, but lists"
        raise InvalidManifest(f"{manifest.reference}: the manifest {which} {ENCODER_FILE}")
    for graph in (files[GRAPH_FILE], *([] if encoder is None else [encoder])):
        refuse_external_data(graph)
    start, golden = _read_vectors(manifest, files[VECTORS_FILE])
    try:
        tokenizer = files[TOKENIZER_FILE].decode("utf-8") if TOKENIZER_FILE in files else None
    except UnicodeDecodeError as error:
        raise BundleError(f"{TOKENIZER_FILE} cannot be read: {error}") from None
    return Bundle(manifest, files[GRAPH_FILE], start, golden, tokenizer, encoder)


def _read_file(folder: Path, name: str, digest: str) -> bytes:
    try:
        data = read_regular(folder / name, MAX_VECTORS_BYTES if name == VECTORS_FILE else MAX_FILE_BYTES)
    except OSError as error:
        raise BundleError(f"cannot read {name}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise DigestMismatch(f"{name} does not have the sha256 that the manifest records")
    return data


def _read_vectors(manifest: Manifest, data: bytes) -> tuple[NDArray[np.float32], Golden]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_VECTORS_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_VECTORS_BYTES:,} bytes")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            start = np.asarray(arrays["start"], np.float32)
            steps = np.asarray(arrays["steps"], manifest.graph.input.dtype)
            state_out = np.asarray(arrays["state_out"], np.float32)
            outputs = {
                output.name: np.asarray(arrays[f"output.{output.name}"], np.float32)
                for output in manifest.graph.outputs
            }
            sources = None if manifest.encoder is None else _sources(manifest.encoder, arrays)
    except Exception as error:  # whatever numpy and zipfile make of bytes that somebody chose
        raise BundleError(f"{VECTORS_FILE} cannot be read: {error}") from None
    if start.shape != (manifest.row.size,) or not np.isfinite(start).all():
        raise BundleError(f"{VECTORS_FILE}: the start row must hold {manifest.row.size} finite numbers")
    size = steps.shape[:2]
    if len(size) < 2 or 0 in size or any(output.shape[:2] != size for output in outputs.values()):
        raise BundleError(f"{VECTORS_FILE}: steps and outputs must be [batch, time, ...], and of one size")
    if state_out.shape != (size[0], manifest.row.size):
        raise BundleError(f"{VECTORS_FILE}: state_out must be [batch, {manifest.row.size}]")
    if sources is not None:
        _check_sources(sources, manifest, size[0])
    return start, Golden(steps, outputs, state_out, sources)


def _sources(spec: EncoderSpec, arrays: Mapping[str, NDArray[np.generic]]) -> GoldenSources:
    return GoldenSources(
        np.asarray(arrays["source.inputs"], spec.input.dtype),
        None if spec.max_length is None else np.asarray(arrays["source.lengths"], np.int64),
        np.asarray(arrays["source.rows"], np.float32),
        None if spec.attended is None else np.asarray(arrays["source.attended"], np.float32),
    )


def _check_sources(sources: GoldenSources, manifest: Manifest, batch: int) -> None:
    spec = manifest.encoder
    assert spec is not None
    inputs, lengths, attended = sources.inputs, sources.lengths, sources.attended
    good = sources.rows.shape == (batch, manifest.row.size) and len(inputs) == batch
    if lengths is None:
        good &= inputs.shape[1:] == spec.input.shape
    else:
        longest = inputs.shape[1] if inputs.ndim == 2 else 0
        good &= lengths.shape == (batch,) and bool((lengths >= 1).all() and (lengths <= longest).all())
        good &= longest <= (spec.max_length or 0)
    if attended is not None and spec.attended is not None:
        good &= attended.shape == (batch, spec.attended.length or inputs.shape[1], spec.attended.width)
    if not good:
        raise BundleError(f"{VECTORS_FILE}: the sources are not of the shape that the manifest says")
