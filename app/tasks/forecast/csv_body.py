"""A ``text/csv`` body as a forecast request: header, an optional time column, one column per series.

bytes --decode--> rows --time column?--> places --gaps are null--> ForecastRequest
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from app.core.errors import InvalidInput
from app.features.calendar import Frequency, infer_frequency, parse_frequency, parse_timestamp, position
from app.tasks.forecast.csv_query import CsvQuery
from app.tasks.forecast.limits import ForecastLimits
from app.tasks.forecast.schema import LARGEST_VALUE, ForecastRequest, SeriesInput

MISSING = frozenset({"", "na", "nan", "n/a", "null", "none"})
"""Cells that mean a missing observation, in any case."""

_DELIMITERS = ",;\t"


def read_csv(body: bytes, query: CsvQuery, limits: ForecastLimits) -> ForecastRequest:
    """The request that a CSV body and the query make.

    Rows that the time column skips become missing observations.

    Raises:
        InvalidInput: the text is not UTF-8, not a table, or a cell is not a number; the message
            names line and column.
    """
    header, rows = _table(body)
    columns: list[list[float | None]]
    first = next(rows, None)
    if first is None:
        raise InvalidInput("body", "the CSV has a header but no rows")
    time_index = _time_column(header, first[1], query.time)
    names = [name for index, name in enumerate(header) if index != time_index]
    if not names:
        raise InvalidInput("body", "the CSV has a time column but no column of values")
    if len(names) > limits.max_series:
        raise InvalidInput(
            "body",
            f"the CSV has {len(names)} series, more than the limit of {limits.max_series}",
            allowed={"max": limits.max_series},
        )
    moments: list[datetime] = []
    columns = [[] for _ in names]
    count = 0
    for line, cells in _chain(first, rows):
        count += len(names)
        _check_points(count, limits)
        if len(cells) != len(header):
            raise InvalidInput(
                "body", f"line {line} has {len(cells)} cells, but the header has {len(header)} columns"
            )
        if time_index is not None:
            moments.append(_moment(cells[time_index], header[time_index], line))
            cells = cells[:time_index] + cells[time_index + 1 :]
        for column, cell, name in zip(columns, cells, names, strict=True):
            column.append(_number(cell, name, line))
    start = None
    frequency = query.freq
    if time_index is not None:
        _check_increasing(moments)
        spacing = infer_frequency(moments) if query.freq is None else parse_frequency(query.freq)
        columns = _placed(columns, moments, spacing, limits)
        start, frequency = moments[0].isoformat(), spacing.code
    series = [
        SeriesInput.model_construct(id=name, values=column, start=start, freq=frequency)
        for name, column in zip(names, columns, strict=True)
    ]
    return ForecastRequest(
        series=series,
        horizon=query.horizon,
        quantiles=query.quantiles,
        levels=query.levels,
        season=query.season,
        model=query.model,
    )


def _table(body: bytes) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header's names, and the rows with their line numbers."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("body", f"the CSV is not UTF-8: byte {error.start} is not valid there") from error
    line = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(_DELIMITERS, key=line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for cells in reader:
                if any(cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            raise InvalidInput("body", f"line {reader.line_num} is not CSV: {error}") from error

    found = rows()
    first = next(found, None)
    if first is None:
        raise InvalidInput("body", "the CSV is empty")
    header = [name.strip() for name in first[1]]
    if any(_is_number(name) for name in header):
        raise InvalidInput("body", "the first line of the CSV must name the columns; it holds numbers")
    if len(set(header)) != len(header):
        raise InvalidInput("body", "two columns of the CSV have the same name")
    return header, found


def _time_column(header: list[str], first: list[str], wanted: str | None) -> int | None:
    if wanted is not None:
        if wanted not in header:
            raise InvalidInput("time", f"the CSV has no column {wanted!r}", allowed=header)
        return header.index(wanted)
    cell = first[0].strip() if first else ""
    if cell.lower() in MISSING or _is_number(cell):
        return None
    try:
        parse_timestamp(cell)
    except ValueError:
        return None
    return 0


def _moment(cell: str, name: str, line: int) -> datetime:
    try:
        return parse_timestamp(cell)
    except ValueError as error:
        raise InvalidInput(name, f"line {line}: {cell[:40]!r} is not an ISO 8601 date or time") from error


def _number(cell: str, name: str, line: int) -> float | None:
    cleaned = cell.strip()
    if cleaned.lower() in MISSING:
        return None
    try:
        value = float(cleaned)
    except ValueError as error:
        raise InvalidInput(name, f"line {line}: {cleaned[:40]!r} is not a number") from error
    if not math.isfinite(value) or abs(value) > LARGEST_VALUE:
        raise InvalidInput(
            name,
            f"line {line}: {cleaned[:40]!r} is not a finite number of a size that can be forecast",
            allowed={"min": -LARGEST_VALUE, "max": LARGEST_VALUE},
        )
    return value


def _placed(
    columns: list[list[float | None]], moments: list[datetime], spacing: Frequency, limits: ForecastLimits
) -> list[list[float | None]]:
    """The columns with a null for every step that the time column skips."""
    places = [position(moments[0], moment, spacing) for moment in moments]
    for index, (before, after) in enumerate(pairwise(places)):
        if after <= before:
            raise InvalidInput(
                "time",
                f"{moments[index].isoformat()} and {moments[index + 1].isoformat()} are one step of "
                f"{spacing.code}",
            )
    length = places[-1] + 1
    if length == len(moments):
        return columns
    _check_points(length * len(columns), limits)
    filled: list[list[float | None]] = [[None] * length for _ in columns]
    for target, column in zip(filled, columns, strict=True):
        for place, value in zip(places, column, strict=True):
            target[place] = value
    return filled


def _check_increasing(moments: list[datetime]) -> None:
    for before, after in pairwise(moments):
        if after <= before:
            message = f"timestamps must increase, but {after.isoformat()} follows {before.isoformat()}"
            raise InvalidInput("time", message)


def _check_points(count: int, limits: ForecastLimits) -> None:
    if count > limits.max_points:
        raise InvalidInput(
            "body",
            f"the CSV has more than {limits.max_points} observations, counting those its times skip",
            allowed={"max": limits.max_points},
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _chain(
    first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest
