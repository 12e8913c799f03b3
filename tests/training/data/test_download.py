"""The data store and the downloader: verified content or a clear error, never half a file."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from app.core.errors import DataError
from tests.public_data import data_folder
from training.data import download
from training.data.catalogue import CATALOGUE, find_file
from training.data.content import content_sha256
from training.data.data_set import DataFile, Form
from training.data.download import DATA_VARIABLE, DataStore
from training.data.fetch import fetch
from training.sentiment.reviews import binary_sentences, read_trees

TEXT = b"some published text\n"
DIGEST = hashlib.sha256(TEXT).hexdigest()


def real_data() -> Path:
    """The folder of public data, where there is one."""
    folder = data_folder()
    if folder is None:
        pytest.skip(f"no data folder: set {DATA_VARIABLE}")
    return folder


def publish(folder: Path, form: Form) -> str:
    """``TEXT`` as a publisher offers it; returns a URL."""
    path = folder / "published"
    if form == "zip member":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("inner/text.txt", TEXT)
        path.write_bytes(buffer.getvalue())
    else:
        path.write_bytes(gzip.compress(TEXT) if form == "gzipped there" else TEXT)
    return path.as_uri()


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("as published", "text.txt"),
        ("gzipped here", "text.txt.gz"),
        ("gzipped there", "text.txt.gz"),
        ("zip member", "text.txt.gz"),
    ],
)
def test_a_file_is_kept_in_the_folders_form(tmp_path: Path, form: Form, name: str) -> None:
    """Whatever form it is published in, its content is verified and it reads the same."""
    entry = DataFile(f"set/{name}", DIGEST, publish(tmp_path, form), form, "inner/text.txt")
    local = tmp_path / "data" / entry.path
    fetch(entry, local)
    data = local.read_bytes()
    assert (gzip.decompress(data) if name.endswith(".gz") else data) == TEXT
    assert [path.name for path in local.parent.iterdir()] == [name]


def test_other_content_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """A publisher's changed file never appears under the trusted name."""
    entry = DataFile("text.txt", "0" * 64, publish(tmp_path, "as published"))
    with pytest.raises(DataError, match="does not hold the content"):
        fetch(entry, tmp_path / "data" / "text.txt")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (DataFile("a.txt", DIGEST, "file:///nowhere/at/all"), "cannot download file:///nowhere/at/all"),
        (DataFile("a.txt", DIGEST), "not published as a file"),
        (DataFile("a.txt", DIGEST, "nonsense"), "cannot download nonsense"),
    ],
)
def test_a_download_that_fails_names_the_address(tmp_path: Path, entry: DataFile, message: str) -> None:
    """And leaves no file."""
    with pytest.raises(DataError, match=message):
        fetch(entry, tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_an_archive_without_the_member_is_an_error(tmp_path: Path) -> None:
    """So is a file that is no archive."""
    entry = DataFile("t.txt.gz", DIGEST, publish(tmp_path, "zip member"), "zip member", "other.txt")
    with pytest.raises(DataError, match=r"does not hold other\.txt"):
        fetch(entry, tmp_path / "data" / "t.txt.gz")


def test_content_is_the_same_however_it_is_packed(tmp_path: Path) -> None:
    """Gzip levels, times and unlabelled reviews do not change a digest; a changed review does."""
    for name, level in (("a.gz", 1), ("b.gz", 9)):
        (tmp_path / name).write_bytes(gzip.compress(TEXT * 50, level, mtime=level))
    assert (tmp_path / "a.gz").read_bytes() != (tmp_path / "b.gz").read_bytes()
    assert content_sha256(tmp_path / "a.gz") == content_sha256(tmp_path / "b.gz")

    def reviews(name: str, members: dict[str, bytes]) -> str:
        with tarfile.open(tmp_path / name, "w:gz") as file:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
        return content_sha256(tmp_path / name)

    labelled = {"aclImdb/train/pos/1_9.txt": b"good", "aclImdb/test/neg/2_1.txt": b"bad"}
    whole = {"aclImdb/train/unsup/0_0.txt": b"unknown", **dict(reversed(labelled.items()))}
    assert reviews("x.tar.gz", labelled) == reviews("y.tar.gz", whole)
    assert reviews("z.tar.gz", {**labelled, "aclImdb/test/neg/2_1.txt": b"sad"}) != reviews("w.tar.gz", whole)


@pytest.fixture
def small_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataFile:
    """A catalogue of one file."""
    entry = DataFile("set/text.txt", DIGEST, publish(tmp_path, "as published"))
    data_set = CATALOGUE["names"]
    monkeypatch.setattr(download, "find_file", lambda path: (data_set, entry))
    return entry


def test_a_users_folder_is_verified_and_never_written_to(tmp_path: Path, small_catalogue: DataFile) -> None:
    """A missing file says where to get it; a wrong one is not used."""
    folder = tmp_path / "mine"
    (folder / "set").mkdir(parents=True)
    store = DataStore.open(folder)
    with pytest.raises(DataError, match="is not in the data folder"):
        store.file(small_catalogue.path)
    (folder / small_catalogue.path).write_bytes(b"changed")
    with pytest.raises(DataError, match="not the file this recipe was written for"):
        store.file(small_catalogue.path)
    (folder / small_catalogue.path).write_bytes(TEXT)
    assert store.file(small_catalogue.path).read_bytes() == TEXT
    assert store.source(small_catalogue.path).sha256 == DIGEST


def test_a_cache_fetches_what_is_missing(tmp_path: Path, small_catalogue: DataFile) -> None:
    """Once; the second time the file is there."""
    store = DataStore(tmp_path / "cache", may_download=True)
    assert store.file(small_catalogue.path).read_bytes() == TEXT
    (tmp_path / "published").unlink()
    assert store.file(small_catalogue.path).read_bytes() == TEXT


def test_the_folder_is_the_option_then_the_variable_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In that order; only the cache downloads."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "b"))
    assert DataStore.open(tmp_path / "a") == DataStore(tmp_path / "a", may_download=False)
    assert DataStore.open() == DataStore(tmp_path / "b", may_download=False)
    monkeypatch.delenv(DATA_VARIABLE)
    assert DataStore.open().may_download
    with pytest.raises(DataError, match="does not exist"):
        DataStore.open(tmp_path / "c")


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    """Before anything is fetched."""
    with pytest.raises(DataError, match="unknown data set 'mnist'; allowed: tinyshakespeare"):
        DataStore.cache().download(["mnist"])


def test_every_file_of_the_catalogue_can_be_found_and_fetched() -> None:
    """Paths are unique, digests are digests, and every file has an address, what was packed here aside."""
    files = [entry for data_set in CATALOGUE.values() for entry in data_set.files]
    assert len({entry.path for entry in files}) == len(files)
    for entry in files:
        assert len(bytes.fromhex(entry.content)) == 32
        # Made from R packages, or packed again, so that nobody publishes the file that is read here.
        assert (entry.url is None) is entry.path.startswith(
            ("forecasting/m1/", "forecasting/m3/", "forecasting/fpp/", "speech/", "captioning/")
        )
        assert (entry.url or "https://").startswith("https://")
        assert find_file(entry.path)[1] is entry


def test_the_real_files_are_those_of_the_catalogue() -> None:
    """Every file of the data folder has the recorded content."""
    store = DataStore.open(real_data())
    assert len(store.download([])) == sum(len(data_set.files) for data_set in CATALOGUE.values())


def test_the_real_treebank_has_the_published_sizes() -> None:
    """Counts of the paper: 872 and 1,821 sentences that are not neutral."""
    store = DataStore.open(real_data())
    for part, sentences in (("dev", 872), ("test", 1821)):
        phrases = read_trees(store.file(f"sentiment/sst/trees/{part}.txt.gz"))
        assert len(binary_sentences(phrases)) == sentences
