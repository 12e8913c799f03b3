"""What there is to learn from: captions of pictures in two languages, or the user's own sentences."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from app.core.errors import DataError
from app.features.table import read_table
from training.attending.parts import parted
from training.data.download import DataStore
from training.recipe import file_source, reading
from training.translate.corpus import Corpus, Pair
from training.translate.settings import TranslateOptions

FOLDER = "translation/multi30k/raw"
LANGUAGES = ("en", "de", "fr")
TESTS = ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco")
_SHARE = 0.05
_LEAST = 40
_CODE = re.compile(r"[a-z]{2,3}")


def load(options: TranslateOptions, data: Path | None, seed: int) -> Corpus:
    """Raises DataError: the files cannot be used; the message says why."""
    directions = tuple(_directions(options.pairs))
    if options.dataset is not None:
        return _multi30k(DataStore.open(data), directions)
    return _own(options, directions, seed)


def _directions(pairs: str) -> Iterator[tuple[str, str]]:
    for pair in pairs.split(","):
        source, _, target = pair.strip().partition("-")
        if not (_CODE.fullmatch(source) and _CODE.fullmatch(target)) or source == target:
            raise DataError(f"--pairs: {pair.strip()!r} is no direction such as en-de")
        yield source, target


def _multi30k(store: DataStore, directions: tuple[tuple[str, str], ...]) -> Corpus:
    """Elliott et al. 2016; the official parts."""
    languages = sorted({language for direction in directions for language in direction})
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown:
        raise DataError(f"--pairs: this data set has no {unknown[0]!r}; allowed: {', '.join(LANGUAGES)}")

    def pairs(part: str) -> list[Pair]:
        lines = {language: _lines(store.file(f"{FOLDER}/{part}.{language}.gz")) for language in languages}
        return [
            Pair(source, target, *direction)
            for direction in directions
            for source, target in zip(lines[direction[0]], lines[direction[1]], strict=True)
        ]

    parts = ("train", "val", *TESTS)
    sources = tuple(
        store.source(f"{FOLDER}/{part}.{language}.gz") for part in parts for language in languages
    )
    tests = {part: pairs(part) for part in TESTS}
    return Corpus("Multi30k", directions, pairs("train"), pairs("val"), tests, sources)


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path.name!r}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name!r} is not UTF-8 text, at byte {error.start}") from error
    return [line.strip() for line in text.split("\n")[: -1 if text.endswith("\n") else None]]


def _own(options: TranslateOptions, directions: tuple[tuple[str, str], ...], seed: int) -> Corpus:
    first = directions[0]
    if any(set(direction) != set(first) for direction in directions):
        raise DataError(
            f"--pairs: your data are {first[0]}-{first[1]}, so only that and its reverse can be learned"
        )
    found, files = _own_lines(options)
    kept = [(source, target) for source, target in found if source and target]
    if len(kept) < _LEAST:
        raise DataError(f"there are {len(kept)} sentences with a translation; at least {_LEAST} are needed")

    def pairs(chosen: list[tuple[str, str]]) -> list[Pair]:
        return [
            Pair(source, target, *direction) if direction == first else Pair(target, source, *direction)
            for direction in directions
            for source, target in chosen
        ]

    train, validation, test = map(pairs, parted(kept, _SHARE, seed))
    sources = tuple(file_source(path) for path in files)
    return Corpus(files[0].name, directions, train, validation, {"test": test}, sources)


def _own_lines(options: TranslateOptions) -> tuple[list[tuple[str, str]], list[Path]]:
    if options.csv is not None:
        with reading(options.csv):
            table = read_table(options.csv.read_bytes())
            columns = [
                table.index_of(options.source_column, "--source-column"),
                table.index_of(options.target_column, "--target-column"),
            ]
        cells = [[row.cells[column].strip() for column in columns] for row in table.rows]
        return [(source, target) for source, target in cells], [options.csv]
    if options.source is None or options.target is None:
        raise DataError("give --source FILE and --target FILE, or --csv FILE, or --dataset NAME")
    try:
        source, target = _lines(options.source), _lines(options.target)
    except OSError as error:
        raise DataError(f"cannot read {Path(error.filename).name!r}: {error.strerror}") from error
    if len(source) != len(target):
        raise DataError(
            f"--source has {len(source)} lines and --target {len(target)}; each line needs its translation"
        )
    return list(zip(source, target, strict=True)), [options.source, options.target]
