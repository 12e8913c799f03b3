"""The user's own CSV as series: wide (one column per series) or long (an id column).

Every complaint names the line of the file (the header is line 1) and the column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DataError, InvalidInput
from app.features.calendar import parse_timestamp, position
from app.features.frequency import MAX_SEASON, Frequency, infer_frequency, parse_frequency
from app.features.series import NO_FREQUENCY, SeriesKind, kind_for
from training.forecast.series import Series, read_rows

MISSING = frozenset({"", "na", "nan", "null", "none", "-"})
# A grid this much longer than the rows given means that the frequency is wrong, not that data is missing.
_MAX_GAPS = 50


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """Which columns of a CSV mean what.

    Args:
        time: name of the time column, if any.
        targets: value columns; all but ``time`` and ``id`` when empty.
        id: column that tells the series of a row (long format).
        frequency: code such as ``D``; told from the time column when left out.
        season: seasonal length in steps instead of the frequency's usual one.
    """

    time: str | None = None
    targets: tuple[str, ...] = ()
    id: str | None = None
    frequency: str | None = None
    season: int | None = None


@dataclass(frozen=True, slots=True)
class _Column:
    """Values of one series as they stand in the file, with their times and line numbers."""

    name: str
    values: list[float]
    moments: list[datetime]
    lines: list[int]


def read_series(path: Path, layout: CsvLayout, horizon: int) -> list[Series]:
    """Read and split every series of a CSV.

    The last tenth of a series, at least one horizon, is the test part; as much before it is
    validation. Missing steps of a series with times are put back as missing values.

    Args:
        path: the file, with a header.
        layout: which columns mean what.
        horizon: steps ahead the model will predict.

    Returns:
        At least one series.

    Raises:
        DataError: a column is missing, a cell cannot be read, or no series is long enough.
    """
    rows = read_rows(path)
    if len(rows) < 2:
        raise DataError(f"{path.name} needs a header line and at least one row of values")
    if layout.season is not None and not 1 <= layout.season <= MAX_SEASON:
        raise DataError(f"season is {layout.season}; it must be 1 to {MAX_SEASON} steps")
    raw = _columns(rows, layout)
    frequency = _frequency(raw, layout)
    trained = frequencies_of(frequency, layout.season)
    kind = kind_for(frequency, trained, season=layout.season)
    series = [_split(path, *_regular(column, kind), column.name, kind, horizon) for column in raw]
    kept = [item for item in series if item is not None]
    if not kept:
        longest = max(len(column.values) for column in raw)
        raise DataError(
            f"no series of {path.name} is long enough for a horizon of {horizon}: "
            f"{minimum_length(horizon)} steps are needed, the longest has {longest}"
        )
    return kept


def frequencies_of(frequency: Frequency | None, season: int | None) -> dict[str, tuple[int, int, int]]:
    """Index and seasons of the only frequency a model of one CSV is trained on.

    A request that does not tell its frequency is taken to have the same.
    """
    kind = kind_for(frequency, {}, season=season)
    entry = (1, kind.season, kind.long_season)
    return {NO_FREQUENCY: entry} if frequency is None else {frequency.code: entry, NO_FREQUENCY: entry}


def minimum_length(horizon: int) -> int:
    """Steps a series needs to be split in three."""
    return 2 * horizon + max(horizon, 8)


def _columns(rows: list[list[str]], layout: CsvLayout) -> list[_Column]:
    header = [cell.strip() for cell in rows[0]]

    def index_of(name: str) -> int:
        if name not in header:
            raise DataError(f"there is no column {name!r}; the columns are: {', '.join(header)}")
        return header.index(name)

    time = None if layout.time is None else index_of(layout.time)
    identifier = None if layout.id is None else index_of(layout.id)
    targets = [index_of(name) for name in layout.targets] or [
        j for j in range(len(header)) if j not in (time, identifier)
    ]
    if not targets:
        raise DataError("there is no column of values besides the time and id columns")
    found: dict[str, _Column] = {}
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(f"line {line} has {len(row)} cells, the header has {len(header)}")
        moment = None if time is None else _moment(row[time], line, header[time])
        for target in targets:
            name = header[target]
            if identifier is not None:
                name = row[identifier] if len(targets) == 1 else f"{row[identifier]}/{name}"
            column = found.setdefault(name, _Column(name, [], [], []))
            column.values.append(_number(row[target], line, header[target]))
            column.lines.append(line)
            if moment is not None:
                column.moments.append(moment)
    return list(found.values())


def _moment(cell: str, line: int, column: str) -> datetime:
    try:
        return parse_timestamp(cell)
    except ValueError:
        raise DataError(
            f"line {line}, column {column!r}: {cell[:40]!r} is not a date; "
            "write 2024-01-31 or 2024-01-31T13:00"
        ) from None


def _number(cell: str, line: int, column: str) -> float:
    if cell.strip().lower() in MISSING:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value) or abs(value) > np.finfo(np.float32).max:
        raise DataError(f"line {line}, column {column!r}: {cell[:40]!r} is not a finite number")
    return value


def _frequency(columns: Sequence[_Column], layout: CsvLayout) -> Frequency | None:
    try:
        if layout.frequency is not None:
            return parse_frequency(layout.frequency)
        if layout.time is None:
            return None
        return infer_frequency(sorted(max(columns, key=lambda column: len(column.moments)).moments))
    except InvalidInput as error:
        raise DataError(error.message) from error


def _regular(column: _Column, kind: SeriesKind) -> tuple[NDArray[np.float64], datetime | None]:
    """Values on the grid of the frequency, with NaN where the file has no row."""
    values = np.asarray(column.values)
    if not column.moments or kind.frequency is None:
        return values, None
    start = min(column.moments)
    places = []
    for moment, line in zip(column.moments, column.lines, strict=True):
        try:
            places.append(position(start, moment, kind.frequency))
        except InvalidInput as error:
            raise DataError(f"line {line}: {error.message}; is the frequency right?") from error
    seen: dict[int, int] = {}
    for place, line in zip(places, column.lines, strict=True):
        if place in seen:
            raise DataError(
                f"lines {seen[place]} and {line} give series {column.name!r} the same time; "
                "name the column that tells series apart with --id"
            )
        seen[place] = line
    length = max(places) + 1
    if length > _MAX_GAPS * len(places) + 1000:
        raise DataError(
            f"series {column.name!r} has {len(places)} rows over {length} steps of {kind.frequency.code}; "
            "is the frequency right?"
        )
    grid = np.full(length, np.nan)
    grid[places] = values
    return grid, start


def _split(
    path: Path,
    values: NDArray[np.float64],
    start: datetime | None,
    name: str,
    kind: SeriesKind,
    horizon: int,
) -> Series | None:
    length = len(values)
    if length < minimum_length(horizon) or not np.isfinite(values).any():
        return None
    part = max(horizon, min(length // 10, 50 * horizon))
    part = min(part, (length - max(horizon, 8)) // 2)
    return Series(name, path.name, values, start, kind, length - 2 * part, length - part, True)
