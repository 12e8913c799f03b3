"""What there is to learn from: the user's CSV of readings or of texts, or the built-in surnames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Source
from app.core.errors import DataError
from app.features.table import MISSING, Table, number_of, read_table
from app.features.text import TextCodec
from app.features.times import read_times
from app.tasks.sequence.schema import LARGEST_VALUE
from training.data.download import DataStore
from training.recipe import file_source, reading
from training.sequence.series import MIN_GROUPS, Corpus, Series, by_group, by_time
from training.sequence.settings import SequenceOptions
from training.sequence.surnames import read_surnames
from training.tokenizers import character_tokenizer

MAX_LABELS = 1000
_MOST_NUMBERED_CLASSES = 2


def load(options: SequenceOptions, data: Path | None, seed: int) -> Corpus:
    """Raises DataError: the file cannot be used; the message says why."""
    if options.csv is None:
        texts, languages, sources = read_surnames(DataStore.open(data))
        split = "a random 15 % of the distinct names"
        return _of_texts("surnames by language", split, "language", texts, languages, sources, seed)
    with reading(options.csv):
        table = read_table(options.csv.read_bytes())
        if options.text is not None:
            return _texts_of_table(table, options, options.text, seed)
        return _readings_of_table(table, options, seed)


def _texts_of_table(table: Table, options: SequenceOptions, text: str, seed: int) -> Corpus:
    assert options.csv is not None
    read, said = table.index_of(text, "--text"), table.index_of(options.target, "--target")
    rows = [row for row in table.rows if row.cells[read] and row.cells[said].lower() not in MISSING]
    texts, labels = [row.cells[read] for row in rows], [row.cells[said] for row in rows]
    split = "a random 15 % of the distinct texts"
    sources = (file_source(options.csv),)
    return _of_texts(options.csv.name, split, options.target, texts, labels, sources, seed)


def _of_texts(
    title: str,
    split: str,
    target: str,
    texts: list[str],
    said: list[str],
    sources: tuple[Source, ...],
    seed: int,
) -> Corpus:
    labels = _labels(said, target)
    index = {label: place for place, label in enumerate(labels)}
    placed: list[Series] = []
    for text, label in zip(texts, said, strict=True):
        targets = np.full(len(text), np.nan)
        targets[-1] = index[label]
        placed.append(Series(np.zeros(len(text), np.int64), targets, np.full(len(text), np.nan), text))
    parts = by_group(placed, texts, seed)
    tokenizer = character_tokenizer([series.text for series in parts[0]])
    codec = TextCodec(tokenizer)
    train, validation, test = ([_encoded(series, codec) for series in part] for part in parts)
    return Corpus(title, split, target, labels, (), True, train, validation, test, sources, tokenizer).check()


def _encoded(series: Series, codec: TextCodec) -> Series:
    ids = np.array(codec.encode(series.text), np.int64)
    targets = np.full(len(ids), np.nan)
    targets[-1] = series.targets[-1]
    return Series(ids, targets, np.full(len(ids), np.nan), series.text)


def _readings_of_table(table: Table, options: SequenceOptions, seed: int) -> Corpus:
    assert options.csv is not None
    target = table.index_of(options.target, "--target")
    inputs = _inputs(table, options)
    numbers = np.array(
        [[table.number(row, column, LARGEST_VALUE) for column in inputs] for row in table.rows], np.float64
    )
    values, labels = _targets(table, target, options)
    groups: dict[str, list[int]] = {}
    column = None if options.group is None else table.index_of(options.group, "--group")
    for at, row in enumerate(table.rows):
        groups.setdefault("" if column is None else row.cells[column], []).append(at)
    series, names = [], [*groups]
    for places in groups.values():
        rows = np.array(places)
        rows = rows[_order(table, rows, options)]
        series.append(_series(numbers[rows], values[rows], options.ahead))
    last = options.ahead == 0 and len(series) >= MIN_GROUPS and all(map(_constant, series))
    if last:
        series = [_at_the_end(each) for each in series]
    way = options.split if options.split != "auto" else "group" if len(names) >= MIN_GROUPS else "time"
    if way == "group":
        if len(names) < MIN_GROUPS:
            raise DataError(
                f"--split group needs {MIN_GROUPS} groups or more; {options.csv.name!r} has {len(names)}; "
                "name their column with --group, or use --split time"
            )
        parts, split = by_group(series, names, seed), "a random 15 % of the groups"
    else:
        parts, split = by_time(series), "the last 15 % of each series in time"
    columns = tuple(table.header[column] for column in inputs)
    sources = (file_source(options.csv),)
    ahead = f", {options.ahead} ahead" if options.ahead else ""
    return Corpus(
        f"{options.csv.name}{ahead}", split, options.target, labels, columns, last, *parts, sources
    ).check()


def _inputs(table: Table, options: SequenceOptions) -> list[int]:
    if options.inputs is not None:
        return [table.index_of(name.strip(), "--inputs") for name in options.inputs.split(",")]
    taken = {options.group, options.time, options.target}
    found = [
        column for column, name in enumerate(table.header) if name not in taken and _numeric(table, column)
    ]
    if not found:
        raise DataError("no column holds numbers besides those named; name the inputs with --inputs")
    return found


def _numeric(table: Table, column: int) -> bool:
    cells = [row.cells[column] for row in table.rows if row.cells[column].lower() not in MISSING]
    return bool(cells) and all(
        number_of(cell, decimal_comma=table.decimal_comma) is not None for cell in cells
    )


def _targets(
    table: Table, column: int, options: SequenceOptions
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """An index of a label, or a number, of each row; NaN where there is none."""
    cells = [row.cells[column] for row in table.rows]
    there = [cell for cell in cells if cell.lower() not in MISSING]
    kind = options.kind
    if kind == "auto":
        numbers = _numeric(table, column) and len(set(there)) > _MOST_NUMBERED_CLASSES
        kind = "number" if numbers else "class"
    if kind == "number":
        return np.array([table.number(row, column, LARGEST_VALUE) for row in table.rows]), ()
    labels = _labels(there, options.target)
    index = {label: float(place) for place, label in enumerate(labels)}
    return np.array([index.get(cell, np.nan) for cell in cells]), labels


def _labels(said: Sequence[str], target: str) -> tuple[str, ...]:
    labels = tuple(sorted(set(said)))
    if not 2 <= len(labels) <= MAX_LABELS:
        raise DataError(f"column {target!r} has {len(labels)} labels; allowed: 2 to {MAX_LABELS}")
    return labels


def _order(table: Table, rows: NDArray[np.intp], options: SequenceOptions) -> NDArray[np.intp]:
    """The order in time of some rows; that of the file without a time column."""
    if options.time is None:
        return np.arange(len(rows))
    column = table.index_of(options.time, "--time")
    cells = [table.rows[row].cells[column] for row in rows]
    found = [number_of(cell, decimal_comma=table.decimal_comma) for cell in cells]
    if all(number is not None for number in found):
        return np.argsort(np.array(found, np.float64), kind="stable")
    moments = read_times(cells, [table.rows[row].line for row in rows], options.time)
    return np.array(sorted(range(len(rows)), key=lambda place: moments[place]), np.intp)


def _series(numbers: NDArray[np.float64], values: NDArray[np.float64], ahead: int) -> Series:
    length = len(values)
    targets = np.full(length, np.nan)
    targets[: max(0, length - ahead)] = values[ahead:]
    # With nothing ahead the target of a step is what is asked, so only the one before is known.
    shifted = values if ahead else np.concatenate([[np.nan], values[:-1]])
    places = np.maximum.accumulate(np.where(np.isfinite(shifted), np.arange(length), -1))
    known = np.where(places >= 0, shifted[np.maximum(places, 0)], np.nan)
    return Series(numbers.astype(np.float32), targets, known)


def _constant(series: Series) -> bool:
    found = series.targets[np.isfinite(series.targets)]
    return len(found) > 0 and bool((found == found[0]).all())


def _at_the_end(series: Series) -> Series:
    targets = np.full(len(series.steps), np.nan)
    targets[-1] = series.targets[np.isfinite(series.targets)][0]
    return Series(series.steps, targets, np.full(len(series.steps), np.nan))
