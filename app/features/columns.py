"""The series of a table: wide, one column for each, or long, with a column that tells them apart.

Table, Layout --time column?--> times --frequency--> places --> values on the grid, NaN where no row is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput, over_limit
from app.features.calendar import position
from app.features.frequency import Frequency, infer_frequency, parse_frequency
from app.features.table import Table
from app.features.times import is_nameless, looks_like_times, names_times, read_times

_ID_NAMES = frozenset({"unique_id", "item_id", "series_id"})
# A grid this much longer than the rows given means that the frequency is wrong, not that data is missing.
_MAX_GAPS = 50


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a table mean what.

    Attributes:
        time: name of the time column; told by what the first column holds when left out.
        id: column that tells the series of a row (long format); told by names such as ``unique_id``.
        targets: columns of values; all but the others when empty.
        frequency: code such as ``D``; told from the times when left out.
    """

    time: str | None = None
    id: str | None = None
    targets: tuple[str, ...] = ()
    frequency: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest magnitude of a value, and how many series and values, skipped ones included, may be."""

    largest: float
    max_series: int
    max_points: int


@dataclass(slots=True)
class Column:
    """One series ``[time]``, NaN where a value is missing; ``start`` has the last row's offset, if any."""

    name: str
    values: NDArray[np.float64]
    start: datetime | None


@dataclass(slots=True)
class _Raw:
    """The rows of one series as they stand in the file."""

    name: str
    values: list[float]
    rows: list[int]


def read_columns(table: Table, layout: Layout, bounds: Bounds) -> tuple[list[Column], Frequency | None]:
    """The series of a table, and how time advances in all of them.

    Raises:
        InvalidInput: a column is missing, a cell cannot be read, two rows of a series have one time, or there
            is more than the bounds allow.
    """
    time, identifier, targets = _columns(table, layout)
    raw = _raw(table, identifier, targets, bounds)
    if time is None:
        frequency = None if layout.frequency is None else parse_frequency(layout.frequency)
        return [Column(each.name, np.array(each.values), None) for each in raw], frequency
    cells = [row.cells[time] for row in table.rows]
    moments = read_times(cells, [row.line for row in table.rows], table.header[time])
    if layout.frequency is None:
        longest = max(raw, key=lambda each: len(each.rows))
        rows = sorted(longest.rows, key=lambda row: moments[row])
        for row, later in pairwise(rows):
            if moments[row] == moments[later]:
                raise _one_step(table, longest, row, later, moments[row])
        frequency = infer_frequency([moments[row] for row in rows])
    else:
        frequency = parse_frequency(layout.frequency)
    columns = [_gridded(table, each, moments, frequency, bounds) for each in raw]
    _check_points(sum(len(column.values) for column in columns), bounds)
    return columns, frequency


def _columns(table: Table, layout: Layout) -> tuple[int | None, int | None, list[int]]:
    header = table.header
    identifier = None if layout.id is None else table.index_of(layout.id, "id")
    time = None if layout.time is None else table.index_of(layout.time, "time")
    index: int | None = None
    if identifier is None and layout.id is None:
        identifier = next((column for column, name in enumerate(header) if name.lower() in _ID_NAMES), None)
    if time is None:
        candidates = [column for column in range(len(header)) if column != identifier]
        if identifier is None:
            candidates = candidates[:1]
        time, index = _time_column(table, candidates)
    targets = [table.index_of(name, "targets") for name in layout.targets] or [
        column for column in range(len(header)) if column not in (time, identifier, index)
    ]
    if not targets:
        what = "a time column" if time is not None else "an id column"
        raise InvalidInput("body", f"the CSV has {what} but no column of values")
    return time, identifier, targets


def _time_column(table: Table, candidates: Sequence[int]) -> tuple[int | None, int | None]:
    """The time column among some, or the index that a data tool wrote, which says nothing."""
    for column in candidates:
        name, cells = table.header[column], [row.cells[column] for row in table.rows]
        if looks_like_times(name, cells):
            return column, None
        if is_nameless(name) and _counts_up(cells) and len(table.header) > 1:
            return _time_column(table, [column + 1])[0], column
        if names_times(name) and len(table.header) > 1:
            raise InvalidInput(
                "time",
                f"column {name!r} is named as times are, but {cells[0][:40]!r} is none that is read; "
                "name the time column with time=, or rename this one",
            )
    return None, None


def _counts_up(cells: Sequence[str]) -> bool:
    return cells[0] in ("0", "1") and all(
        cell == str(number) for number, cell in enumerate(cells, start=int(cells[0]))
    )


def _raw(table: Table, identifier: int | None, targets: Sequence[int], bounds: Bounds) -> list[_Raw]:
    if identifier is None:
        _check_series(len(targets), bounds)
    _check_points(len(table.rows) * len(targets), bounds)
    found: dict[tuple[str, int], _Raw] = {}
    for index, row in enumerate(table.rows):
        for target in targets:
            key = "" if identifier is None else row.cells[identifier]
            each = found.get((key, target))
            if each is None:
                each = found[key, target] = _Raw(_name(table, key, target, identifier, targets), [], [])
            each.values.append(table.number(row, target, bounds.largest))
            each.rows.append(index)
    _check_series(len(found), bounds)
    return list(found.values())


def _name(table: Table, key: str, target: int, identifier: int | None, targets: Sequence[int]) -> str:
    # A column without a name is told by its place.
    name = table.header[target] or f"column {target + 1}"
    if identifier is None:
        return name
    return key if len(targets) == 1 else f"{key}/{name}"


def _gridded(
    table: Table, each: _Raw, moments: Sequence[datetime], frequency: Frequency, bounds: Bounds
) -> Column:
    """Values on the grid of the frequency; rows may stand in any order."""
    times = [moments[row] for row in each.rows]
    start, last = min(times), max(times)
    rows: dict[int, int] = {}
    for row, moment in zip(each.rows, times, strict=True):
        try:
            step = position(start, moment, frequency)
        except InvalidInput as error:
            line = table.rows[row].line
            raise InvalidInput("time", f"line {line}: {error.message}; is freq right?") from error
        if step in rows:
            raise _one_step(table, each, rows[step], row, moment, f" of {frequency.code}")
        rows[step] = row
    length = max(rows) + 1
    _check_points(length, bounds)
    if length > _MAX_GAPS * len(rows) + 1000:
        raise InvalidInput(
            "time",
            f"{each.name!r} has {len(rows)} rows over {length} steps of {frequency.code}; is freq right?",
        )
    values = np.full(length, np.nan)
    values[list(rows)] = each.values
    if start.tzinfo is not None:
        start = start.astimezone(last.tzinfo) if frequency.within_days else start.replace(tzinfo=last.tzinfo)
    return Column(each.name, values, start)


def _one_step(table: Table, each: _Raw, row: int, later: int, moment: datetime, of: str = "") -> InvalidInput:
    lines = f"lines {table.rows[row].line} and {table.rows[later].line}"
    return InvalidInput(
        "time",
        f"{lines} are one step{of} in {each.name!r}, {moment.isoformat()}; "
        "where a column tells series apart, name it with id; otherwise merge the rows",
    )


def _check_series(num: int, bounds: Bounds) -> None:
    if num > bounds.max_series:
        text = f"the CSV has {num} series, more than the limit of {bounds.max_series}"
        raise over_limit("body", bounds.max_series, text)


def _check_points(num: int, bounds: Bounds) -> None:
    if num > bounds.max_points:
        text = f"the CSV has more than {bounds.max_points} observations, counting those its times skip"
        raise over_limit("body", bounds.max_points, text)
