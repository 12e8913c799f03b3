"""Bundles on disk: written whole, read verified, refused with a reason when anything is off."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bundle.manifest import Manifest
from app.bundle.reader import find_bundles, read_bundle, read_manifest
from app.core.errors import BundleError, DigestMismatch, InvalidManifest, ParityError
from app.runtime.session import GraphSession
from app.runtime.verify import verify_bundle
from tests.rig import REGISTERED
from training.writer import pack_vectors, write_bundle


@pytest.fixture
def folder(tiny_models: Path, tmp_path: Path) -> Path:
    """A private copy of a tiny bundle."""
    target = tmp_path / "models" / "tiny-text-lstm" / "1"
    shutil.copytree(tiny_models / "tiny-text-lstm" / "1", target)
    return target


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest's JSON."""
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))


def test_a_bundle_reads_back_what_was_written(folder: Path) -> None:
    """Manifest, start row and golden vectors survive the disk."""
    bundle = read_bundle(folder)
    assert bundle.manifest.reference == "tiny-text-lstm@1"
    assert bundle.start.shape == (bundle.manifest.row.size,)
    assert bundle.golden.outputs["logits"].shape[:2] == bundle.golden.steps.shape


@pytest.mark.parametrize("name", ["model.onnx", "vectors.npz", "tokenizer.json", "README.md"])
def test_a_changed_file_is_refused_by_name(folder: Path, name: str) -> None:
    """One flipped byte in any file is found before it is parsed."""
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(DigestMismatch, match=name):
        read_bundle(folder)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    """The message names the file and not the folder."""
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx") as caught:
        read_bundle(folder)
    assert str(folder) not in caught.value.message


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d.update(format=2), "format"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d.pop("row"), "row"),
        (lambda d: d["row"].update(size=3), "row"),
        (lambda d: d["row"]["fields"][1].update(offset=0), "row"),
        (lambda d: d["network"].update(cell="transformer"), "network.cell"),
        (lambda d: d["spec"].update(task="../up"), "spec"),
        (lambda d: d["spec"].update(task="juggle"), "juggle"),
        (lambda d: d["spec"].update(surprise=1), "spec.surprise"),
        (lambda d: d["spec"].pop("vocabulary"), "spec.vocabulary"),
        (lambda d: d["files"].update({"../evil": "0" * 64}), "files"),
        (lambda d: d["files"].update({"model.onnx": "abc"}), "files.model.onnx"),
        (lambda d: d.update(name="../up"), "name"),
        (lambda d: d["files"].pop("tokenizer.json"), "tokenizer.json"),
    ],
)
def test_a_wrong_manifest_names_the_field(
    folder: Path, change: Callable[[dict[str, Any]], None], where: str
) -> None:
    """Every kind of mistake is a typed error that says where it is."""
    edit(folder, change)
    with pytest.raises(InvalidManifest, match=where):
        REGISTERED.open(read_bundle(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": NaN}'])
def test_a_manifest_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    """Broken JSON is an error of ours, not the parser's."""
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InvalidManifest):
        read_manifest(folder)


def test_pickled_arrays_are_never_loaded(folder: Path) -> None:
    """An archive with a pickled object is refused, even when its digest is recorded."""
    bundle = read_bundle(folder)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, start=np.array([{"a": 1}], dtype=object))
    write_bundle(
        folder.parent.parent, bundle.manifest, bundle.graph, buffer.getvalue(), {"tokenizer.json": b"{}"}, ""
    )
    with pytest.raises(BundleError, match="vectors"):
        read_bundle(folder)


def test_writing_replaces_a_version_and_leaves_no_scraps(folder: Path) -> None:
    """A second export of the same version takes the first one's place."""
    bundle = read_bundle(folder)
    (folder / "left-over.txt").write_text("old")
    models = folder.parent.parent
    vectors = pack_vectors(bundle.start, bundle.golden)
    write_bundle(models, bundle.manifest, bundle.graph, vectors, {"tokenizer.json": b"{}"}, "card")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "manifest.json",
        "model.onnx",
        "tokenizer.json",
        "vectors.npz",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    assert find_bundles(models) == [folder]


def test_bundles_are_found_with_their_versions_as_people_count(tmp_path: Path) -> None:
    for reference in ("b/10", "b/9", "b/.11", "a/1.10", "a/1.2"):
        (tmp_path / reference).mkdir(parents=True)
        (tmp_path / reference / "manifest.json").touch()
    found = [str(path.relative_to(tmp_path)) for path in find_bundles(tmp_path)]
    assert found == ["a/1.2", "a/1.10", "b/9", "b/10"]


def test_a_folder_that_cannot_be_written_is_a_typed_error(folder: Path) -> None:
    """Where a file is in the way, the error names the bundle."""
    bundle = read_bundle(folder)
    blocked = folder / "README.md"
    with pytest.raises(BundleError, match="tiny-text-lstm@1"):
        write_bundle(blocked, bundle.manifest, bundle.graph, b"", {}, "")


def test_a_graph_that_answers_differently_is_refused(folder: Path) -> None:
    """When the golden vectors say something else than the graph, loading fails with the difference."""
    bundle = read_bundle(folder)
    bundle.golden.outputs["logits"][0, 3, 1] += 0.01
    with pytest.raises(ParityError, match="golden"):
        verify_bundle(bundle, GraphSession(bundle.graph, bundle.manifest))


@pytest.mark.parametrize(
    "change",
    [
        {"graph": {"input": {"name": "x", "dtype": "float32", "shape": [3]}}},
        {"graph": {"outputs": [{"name": "logits", "shape": [2]}]}},
        {"graph": {"outputs": [{"name": "scores", "shape": [33]}]}},
        {"row": {"size": 7, "fields": [{"name": "h", "offset": 0, "shape": [7]}]}},
    ],
)
def test_a_graph_with_another_border_is_refused(folder: Path, change: dict[str, dict[str, Any]]) -> None:
    """Names, types and trailing axes of the graph must be the manifest's."""
    bundle = read_bundle(folder)
    document = json.loads(bundle.manifest.model_dump_json())
    for section, fields in change.items():
        document[section].update(fields)
    with pytest.raises(InvalidManifest, match="graph"):
        GraphSession(bundle.graph, Manifest.model_validate_json(json.dumps(document)))


def test_bytes_that_are_no_graph_are_refused(folder: Path) -> None:
    """A file that ONNX Runtime cannot load is an error of the bundle."""
    with pytest.raises(InvalidManifest, match="cannot be loaded"):
        GraphSession(b"not a graph", read_manifest(folder))


def test_a_models_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    """Rather than serving nothing."""
    with pytest.raises(BundleError, match="does not exist"):
        find_bundles(tmp_path / "nowhere")
