"""Bundles whose encoder is not what their manifest says: one sentence, and nothing is served of them."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from app.bundle.manifest import EncoderSpec
from app.bundle.reader import read_bundle
from app.core.errors import BundleError
from app.runtime.session import EncoderSession, GraphSession
from app.runtime.verify import open_encoder, verify_bundle


def seal(bundle: Path, name: str, data: bytes) -> None:
    """Write a file and its sum."""
    (bundle / name).write_bytes(data)
    changed(lambda manifest: manifest["files"].update({name: hashlib.sha256(data).hexdigest()}))(bundle)


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Another manifest."""

    def put(bundle: Path) -> None:
        path = bundle / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))

    return put


def vectors(**arrays: Any) -> Callable[[Path], None]:
    """Other arrays than the exporter's; ``None`` leaves one out."""

    def put(bundle: Path) -> None:
        with np.load(bundle / "vectors.npz") as found:
            kept = {**found, **{name.replace("_", "."): value for name, value in arrays.items()}}
        data = io.BytesIO()
        np.savez(data, **{name: value for name, value in kept.items() if value is not None})
        seal(bundle, "vectors.npz", data.getvalue())

    return put


def leaves_the_folder(bundle: Path) -> None:
    """A weight in a file elsewhere."""
    model = onnx.load_from_string((bundle / "encoder.onnx").read_bytes())
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    seal(bundle, "encoder.onnx", model.SerializeToString())


def another_row(bundle: Path) -> None:
    """A graph whose rows are one short."""
    seal(bundle, "encoder.onnx", (bundle / "model.onnx").read_bytes())


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file that is not listed": (
        changed(lambda manifest: manifest["files"].pop("encoder.onnx")),
        "lists no encoder.onnx",
    ),
    "a section that is missing": (
        changed(lambda manifest: manifest.pop("encoder")),
        "describes no encoder, but lists encoder.onnx",
    ),
    "weights elsewhere": (leaves_the_folder, "external"),
    "no graph": (lambda bundle: seal(bundle, "encoder.onnx", b"\xff" * 99), "cannot be read"),
    "an empty graph": (lambda bundle: seal(bundle, "encoder.onnx", b""), "the encoder cannot be loaded"),
    "the other graph": (another_row, "the encoder: inputs are"),
    "another width": (
        changed(lambda manifest: manifest["encoder"]["attended"].update(width=7)),
        "sources are not of the shape",
    ),
    "tokens without a length": (
        changed(lambda manifest: manifest["encoder"].update(max_length=None)),
        "an encoder of tokens has max_length",
    ),
    "numbers of unknown length": (
        changed(
            lambda manifest: manifest["encoder"].update(
                max_length=None, input={"name": "x", "dtype": "float32", "shape": [3]}
            )
        ),
        "attended.length is needed",
    ),
    "no sources": (vectors(source_inputs=None), "vectors.npz cannot be read"),
    "a length of zero": (vectors(source_lengths=np.zeros(3, np.int64)), "not of the shape"),
    "a length behind the end": (vectors(source_lengths=np.full(3, 99)), "not of the shape"),
    "rows of another size": (vectors(source_rows=np.zeros((3, 4), np.float32)), "not of the shape"),
    "other rows": (vectors(source_rows=np.ones((3, 16), np.float32)), "differs from its golden vectors"),
}


def verified(folder: Path) -> None:
    """As where a server loads it."""
    bundle = read_bundle(folder)
    session, encoder = GraphSession(bundle.graph, bundle.manifest), open_encoder(bundle)
    verify_bundle(bundle, session, encoder)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_encoder_is_refused(recall_models: Path, kind: str, tmp_path: Path) -> None:
    """Whatever is wrong, it is a sentence that names it."""
    folder = shutil.copytree(recall_models / "recall" / "1", tmp_path / "recall" / "1")
    breaks, message = BROKEN[kind]
    breaks(folder)
    with pytest.raises(BundleError, match=message):
        verified(folder)


def test_a_bundle_without_an_encoder_opens_none(recall_models: Path) -> None:
    """Nobody can take one graph for the other."""
    bundle = read_bundle(recall_models / "recall" / "1")
    alone = bundle.manifest.model_copy(update={"encoder": None})
    with pytest.raises(BundleError, match="describes no encoder"):
        EncoderSession(bundle.graph, alone)
    with pytest.raises(BundleError, match="the graph: inputs are"):
        GraphSession(bundle.graph, alone)


def test_the_section_is_checked() -> None:
    """As every part of a manifest is."""
    with pytest.raises(ValueError, match="extra"):
        EncoderSpec.model_validate({"opset": 18, "input": {}, "max_length": 3, "more": 1})
