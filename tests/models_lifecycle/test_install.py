"""Copying a bundle into a models folder: whole and right, or not at all."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from app.core.errors import BundleError, DigestMismatch, FetchFailed, InvalidManifest
from app.registry import origin as origins
from app.registry.install import Installed, install, read_head
from app.registry.origin import Budget, Origin
from app.registry.verification import check_whole
from tests.models_lifecycle.shelf import Shelf
from tests.rig import REGISTERED


def put(origin: Origin, folder: Path, *, replace: bool = False, max_bytes: int = 2**30) -> Installed:
    """Install with a full check."""
    budget = Budget(max_bytes, 60)
    return install(
        origin, read_head(origin), folder, budget, lambda path: check_whole(path, REGISTERED), replace=replace
    )


def local_origin(path: Path, max_bytes: int = 2**30) -> AbstractContextManager[Origin]:
    """With room for every test's bundle."""
    return origins.local_origin(path, max_bytes)


def everything_below(folder: Path) -> list[str]:
    """Hidden files, too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def zipped(bundle: Path, archive: Path, prefix: str = "") -> Path:
    """A zip file of a bundle."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in bundle.iterdir():
            file.write(path, f"{prefix}{path.name}")
    return archive


def tarred(bundle: Path, archive: Path, prefix: str = "") -> Path:
    """A compressed tar file of a bundle."""
    with tarfile.open(archive, "w:gz") as file:
        for path in bundle.iterdir():
            file.add(path, f"{prefix}{path.name}")
    return archive


@pytest.mark.parametrize("prefix", ["", "text-2/", "deep/er/"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_folders_and_archives_become_the_same_bundle(
    shelf: Shelf, tmp_path: Path, pack: Callable[[Path, Path, str], Path], prefix: str
) -> None:
    """Byte by byte, whatever folder the archive has it in."""
    source = shelf.path("text", "2")
    with local_origin(pack(source, tmp_path / "packed", prefix)) as origin:
        done = put(origin, tmp_path / "models")
    assert done.path == tmp_path / "models" / "text" / "2"
    assert {path.name: path.read_bytes() for path in done.path.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    assert sorted(path.name for path in done.path.parent.iterdir()) == ["2"]


def test_the_same_bundle_again_changes_nothing_and_another_needs_leave(shelf: Shelf, tmp_path: Path) -> None:
    """So that a command can be repeated, and nothing is replaced by mistake."""
    with local_origin(shelf.path("text", "1")) as origin:
        assert put(origin, tmp_path).fresh
        assert not put(origin, tmp_path).fresh
    other = shutil.copytree(shelf.path("text", "2"), tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text()) | {"version": "1"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with local_origin(other) as origin:
        with pytest.raises(BundleError, match="text@1 is there already, with other content"):
            put(origin, tmp_path)
        assert put(origin, tmp_path, replace=True).fresh
    assert (tmp_path / "text/1/model.onnx").read_bytes() == (other / "model.onnx").read_bytes()
    assert sorted(path.name for path in (tmp_path / "text").iterdir()) == ["1"]


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda folder: (folder / "model.onnx").write_bytes(b"x"),
            DigestMismatch,
            "model.onnx does not have",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), FetchFailed, "cannot read tokenizer.json"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), InvalidManifest, "manifest.json: "),
        (lambda folder: (folder / "manifest.json").unlink(), BundleError, "holds no bundle"),
    ],
)
def test_what_is_wrong_leaves_nothing_behind(
    shelf: Shelf, tmp_path: Path, spoil: Callable[[Path], object], error: type[BundleError], words: str
) -> None:
    """Not even a hidden folder."""
    source = shutil.copytree(shelf.path("text", "2"), tmp_path / "source")
    spoil(source)
    models = tmp_path / "models"
    with pytest.raises(error, match=words), local_origin(source) as origin:
        put(origin, models)
    assert not models.exists() or everything_below(models) == []


def test_a_graph_that_computes_something_else_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    """Though all its sums are right: the golden vectors are replayed before it becomes visible."""
    source = shutil.copytree(shelf.path("text", "2"), tmp_path / "source")
    shutil.copy(shelf.path("text", "3") / "model.onnx", source)
    manifest = json.loads((source / "manifest.json").read_text())
    other = json.loads((shelf.path("text", "3") / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = other["files"]["model.onnx"]
    (source / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="differs from its golden vectors"), local_origin(source) as origin:
        put(origin, tmp_path / "models")
    assert everything_below(tmp_path / "models") == []


@pytest.mark.parametrize("name", ["../../evil", "/evil", ".evil", "a/b", "..", "", "a\x00b"])
@pytest.mark.parametrize("field", ["name", "version", "file"])
def test_names_that_lead_elsewhere_are_refused(shelf: Shelf, tmp_path: Path, field: str, name: str) -> None:
    """In the manifest, which decides where files go."""
    source = shutil.copytree(shelf.path("text", "2"), tmp_path / "source")
    manifest = json.loads((source / "manifest.json").read_text())
    if field == "file":
        manifest["files"][name] = "0" * 64
    else:
        manifest[field] = name
    (source / "manifest.json").write_text(json.dumps(manifest))
    before = everything_below(tmp_path)
    with pytest.raises(InvalidManifest), local_origin(source) as origin:
        put(origin, tmp_path / "deep" / "models")
    assert everything_below(tmp_path) == before


def test_members_of_an_archive_that_lead_elsewhere_are_never_written(shelf: Shelf, tmp_path: Path) -> None:
    """Only what the manifest lists is read, by plain names; links are not followed."""
    source = shelf.path("text", "2")
    archive = tmp_path / "packed.tar"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with tarfile.open(archive, "w") as file:
        for path in source.iterdir():
            if path.name != "tokenizer.json":
                file.add(path, f"b/{path.name}")
        for number, target in enumerate(("../../evil", "/evil", "b/../../evil")):
            info = tarfile.TarInfo(target)
            info.size = 4
            file.addfile(info, io.BytesIO(b"evil"))
            assert number >= 0
        link = tarfile.TarInfo("b/tokenizer.json")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        file.addfile(link)
    before = everything_below(tmp_path)
    with pytest.raises(FetchFailed, match=r"no tokenizer\.json"), local_origin(archive) as origin:
        put(origin, tmp_path / "models")
    shutil.rmtree(tmp_path / "models", ignore_errors=True)
    assert everything_below(tmp_path) == before


def test_an_archive_must_hold_one_bundle(shelf: Shelf, tmp_path: Path) -> None:
    """None and two are refused, and so is what is no archive."""
    archive = tmp_path / "two.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for folder in ("a", "b"):
            file.writestr(f"{folder}/manifest.json", "{}")
    with pytest.raises(BundleError, match="has 2"), local_origin(archive):
        pass
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme", "")
    with pytest.raises(BundleError, match="has 0"), local_origin(archive):
        pass
    archive.write_text("nothing of the kind")
    with pytest.raises(BundleError, match="no folder, no zip file and no tar file"), local_origin(archive):
        pass


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_damaged_archive_is_refused(
    shelf: Shelf, tmp_path: Path, pack: Callable[[Path, Path], Path]
) -> None:
    """Wherever it is damaged, by its own sums or by the manifest's; never by another error."""
    whole = pack(shelf.path("text", "2"), tmp_path / "packed").read_bytes()
    damaged = tmp_path / "damaged"
    # The directory of a zip file is at its end.
    for place in (*range(0, len(whole), len(whole) // 60), *range(len(whole) - 400, len(whole), 4)):
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            damaged.write_bytes(data)
            with contextlib.suppress(BundleError), local_origin(damaged) as origin:
                put(origin, tmp_path / "models")
                check_whole(tmp_path / "models" / "text" / "2", REGISTERED)
                shutil.rmtree(tmp_path / "models")
            assert everything_below(tmp_path / "models") == []


def test_a_copy_is_bounded_in_bytes_and_time(shelf: Shelf, tmp_path: Path) -> None:
    """A small archive may hold a very large file."""
    source = shutil.copytree(shelf.path("text", "2"), tmp_path / "source")
    with (source / "model.onnx").open("wb") as file:
        file.truncate(64 << 20)
    archive = zipped(source, tmp_path / "bomb.zip")
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(FetchFailed, match="larger than 1048576 bytes"), local_origin(archive) as origin:
        put(origin, tmp_path / "models", max_bytes=1 << 20)
    tarball = tarred(source, tmp_path / "bomb.tgz")
    with pytest.raises(FetchFailed, match="1048576 bytes in them"), local_origin(tarball, 1 << 20):
        pass
    with pytest.raises(FetchFailed, match="took longer than 0 s"):
        list(Budget(10, 0).spend(iter([b"x"])))
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(FetchFailed, match="given up"):
        list(Budget(10, 60, stopped).spend(iter([b"x"])))


def test_a_manifest_that_does_not_end_is_refused() -> None:
    """Before it fills the memory."""

    with pytest.raises(FetchFailed, match="larger than"):
        read_head(lambda name: itertools.repeat(b" " * (1 << 20)))
