"""What there is to learn from: Flickr8k, or the user's own pictures."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

from app.core.errors import DataError
from app.features.table import read_table
from training.attending.parts import parted
from training.caption.corpus import Corpus, Picture
from training.caption.settings import FLICKR8K, CaptionOptions
from training.data.download import DataStore
from training.recipe import check_choice, file_source, reading

FOLDER = "captioning/flickr8k"
_PARTS = ("trainImages", "devImages", "testImages")
_DETAIL = 128
_LEAST = 40
_SHARE = 0.1


def load(options: CaptionOptions, data: Path | None, seed: int) -> Corpus:
    """Raises DataError: the files cannot be used; the message says why."""
    check_choice(options.dataset, options.csv, "--csv", (FLICKR8K,))
    if options.csv is not None:
        return _of_csv(options, options.csv, seed)
    return _flickr8k(DataStore.open(data))


def _flickr8k(store: DataStore) -> Corpus:
    """Hodosh et al. 2013; the official parts."""
    captions: dict[str, list[str]] = {}
    for line in (
        gzip.decompress(store.file(f"{FOLDER}/Flickr8k.token.txt.gz").read_bytes()).decode().split("\n")
    ):
        place, _, caption = line.partition("\t")
        if caption:
            captions.setdefault(place.partition("#")[0], []).append(caption)
    try:
        archive = zipfile.ZipFile(store.file(f"{FOLDER}/images_128.zip"))
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"images_128.zip cannot be read: {error}") from error
    members = {name.rpartition("/")[2]: name for name in archive.namelist() if name.endswith(".jpg")}

    def pictures(part: str) -> list[Picture]:
        names = store.file(f"{FOLDER}/Flickr_8k.{part}.txt").read_text().split()
        return [Picture(name, tuple(captions[name])) for name in names if name in members]

    train, validation, test = map(pictures, _PARTS)
    files = ("images_128.zip", "Flickr8k.token.txt.gz", *(f"Flickr_8k.{part}.txt" for part in _PARTS))
    sources = tuple(store.source(f"{FOLDER}/{name}") for name in files)
    return Corpus(
        "Flickr8k",
        "the official test part",
        train,
        validation,
        test,
        sources,
        lambda name: archive.read(members[name]),
        _DETAIL,
    )


def _of_csv(options: CaptionOptions, csv: Path, seed: int) -> Corpus:
    found: dict[str, list[str]] = {}
    for name, caption in _rows(options, csv):
        found.setdefault(name, []).append(caption)
    if len(found) < _LEAST:
        raise DataError(
            f"{csv.name!r} has {len(found)} pictures with a caption; at least {_LEAST} are needed"
        )
    pictures = [Picture(name, tuple(captions)) for name, captions in found.items()]
    train, validation, test = parted(pictures, _SHARE, seed)

    def read(name: str) -> bytes:
        try:
            return (csv.parent / name).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the picture {name!r}: {error.strerror}") from error

    split = "a random 10 % of the pictures"
    return Corpus(csv.name, split, train, validation, test, (file_source(csv),), read)


def _rows(options: CaptionOptions, csv: Path) -> Iterator[tuple[str, str]]:
    with reading(csv):
        table = read_table(csv.read_bytes())
        image = table.index_of(options.image, "--image")
        caption = table.index_of(options.caption, "--caption")
    for row in table.rows:
        if row.cells[image].strip() and row.cells[caption].strip():
            yield row.cells[image].strip(), row.cells[caption].strip()
