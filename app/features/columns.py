"""The series of a table: wide, one column for each, or long, with a column that tells them apart.

Table, Layout --time column?--> times --frequency--> places --> values on the grid, NaN where no row is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput, over_limit
from app.features.frequency import Frequency, infer_frequency, parse_frequency
from app.features.grid import OffGrid, place, snap_note
from app.features.layout import Layout, Roles, columns_of_words, roles_of
from app.features.table import MISSING, Table
from app.features.times import read_times

# A grid this much longer than the rows given means that the frequency is wrong, not that data is missing.
_MAX_GAPS = 50
_LEFT_OUT = "the column holds words, and was left out"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest magnitude of a value, and how many series and values, skipped ones included, may be."""

    largest: float
    max_series: int
    max_points: int


@dataclass(slots=True)
class Column:
    """One series ``[time]``, NaN where a value is missing; ``start`` has the last row's offset, if any.

    ``future`` and ``past`` are its covariates of numbers, by column and on the same steps, and ``static``
    those that never change.
    """

    name: str
    values: NDArray[np.float64]
    start: datetime | None
    future: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    past: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    static: dict[str, str | None] = field(default_factory=dict)

    @property
    def observed(self) -> int:
        """Steps up to the last value."""
        seen = np.flatnonzero(np.isfinite(self.values))
        return int(seen[-1]) + 1 if len(seen) else len(self.values)


class ReadSeries(NamedTuple):
    """What a table holds.

    Attributes:
        columns: its series.
        frequency: how time advances in all of them.
        notes: what was done to read it and may surprise, by series or column: times that were moved, columns
            that were left out.
        roles: which columns were taken for what.
    """

    columns: list[Column]
    frequency: Frequency | None
    notes: dict[str, str]
    roles: Roles


@dataclass(slots=True)
class _Raw:
    """The rows of one series as they stand in the file."""

    name: str
    values: list[float]
    rows: list[int]


def read_columns(table: Table, layout: Layout, bounds: Bounds) -> ReadSeries:
    """The series of a table.

    Raises:
        InvalidInput: a column is missing, a cell cannot be read, two rows of a series have one time, or there
            is more than the bounds allow.
    """
    roles = roles_of(table, layout)
    raw = _raw(table, roles, bounds)
    beside = _Beside(table, roles, bounds)
    notes = {table.header[column]: _LEFT_OUT for column in roles.words}
    if roles.time is None:
        frequency = None if layout.frequency is None else parse_frequency(layout.frequency)
        columns = []
        for each in raw:
            column = Column(each.name, np.array(each.values), None)
            columns.append(beside.with_covariates(column, each, range(len(each.rows))))
        return ReadSeries(columns, frequency, notes, roles)
    moments = read_times(roles.times(table), [row.line for row in table.rows], table.header[roles.time])
    if layout.frequency is None:
        longest = max(raw, key=lambda each: len(each.rows))
        rows = sorted(longest.rows, key=lambda row: moments[row])
        for row, later in pairwise(rows):
            if moments[row] == moments[later]:
                raise _one_step(table, longest, row, later, moments[row])
        frequency = infer_frequency([moments[row] for row in rows])
    else:
        frequency = parse_frequency(layout.frequency)
    columns, points = [], 0
    for each in raw:
        columns.append(_gridded(table, each, moments, frequency, bounds, notes, beside))
        points += len(columns[-1].values)
        _check_points(points * roles.width, bounds)
    return ReadSeries(columns, frequency, notes, roles)


class _Beside:
    """The covariates of a table."""

    def __init__(self, table: Table, roles: Roles, bounds: Bounds) -> None:
        self._table = table
        self._static = roles.static
        self.width = roles.width

        def numbers(column: int) -> NDArray[np.float64]:
            return np.array([table.number(row, column, bounds.largest) for row in table.rows])

        self._future = {table.header[column]: numbers(column) for column in roles.future}
        self._past = {table.header[column]: numbers(column) for column in roles.past}

    def with_covariates(self, column: Column, raw: _Raw, steps: Sequence[int]) -> Column:
        places = list(steps)
        for given, placed in ((self._future, column.future), (self._past, column.past)):
            for name, numbers in given.items():
                placed[name] = values = np.full(len(column.values), np.nan)
                values[places] = numbers[raw.rows]
        for at in self._static:
            column.static[self._table.header[at]] = self._word(at, raw)
        return column

    def _word(self, column: int, raw: _Raw) -> str | None:
        """What a static column says in all rows of a series, ``None`` where it says nothing."""
        found = None
        for index in raw.rows:
            row = self._table.rows[index]
            word = row.cells[column]
            if word.lower() in MISSING:
                continue
            if found is not None and word != found:
                raise InvalidInput(
                    self._table.header[column],
                    f"line {row.line}: {word[:40]!r} after {found[:40]!r} in {raw.name!r}; what is static is "
                    "the same in all rows of a series",
                )
            found = word
        return found


def _raw(table: Table, roles: Roles, bounds: Bounds) -> list[_Raw]:
    identifier, targets = roles.identifier, roles.targets
    if not identifier:
        _check_series(len(targets), bounds)
    _check_points(len(table.rows) * len(targets) * roles.width, bounds)
    found: dict[tuple[str, int], _Raw] = {}
    for index, row in enumerate(table.rows):
        key = "/".join(row.cells[column] for column in identifier)
        for target in targets:
            each = found.get((key, target))
            if each is None:
                each = found[key, target] = _Raw(_name(table, key, target, identifier, targets), [], [])
            each.values.append(table.number(row, target, bounds.largest))
            each.rows.append(index)
    _check_series(len(found), bounds)
    return list(found.values())


def _name(table: Table, key: str, target: int, identifier: Sequence[int], targets: Sequence[int]) -> str:
    # A column without a name is told by its place.
    name = table.header[target] or f"column {target + 1}"
    if not identifier:
        return name
    return key if len(targets) == 1 else f"{key}/{name}"


def _gridded(
    table: Table,
    each: _Raw,
    moments: Sequence[datetime],
    frequency: Frequency,
    bounds: Bounds,
    notes: dict[str, str],
    beside: _Beside,
) -> Column:
    """Values on the grid of the frequency; rows may stand in any order."""
    try:
        grid = place([moments[row] for row in each.rows], frequency)
    except OffGrid as error:
        line = table.rows[each.rows[error.index]].line
        raise InvalidInput("time", f"line {line}: {error.message}; is freq right?") from error
    rows: dict[int, int] = {}
    for row, step in zip(each.rows, grid.steps, strict=True):
        if step in rows:
            raise _one_step(table, each, rows[step], row, moments[row], f" of {frequency.code}")
        rows[step] = row
    length = max(rows) + 1
    _check_points(length * beside.width, bounds)
    if length > _MAX_GAPS * len(rows) + 1000:
        raise InvalidInput(
            "time",
            f"{each.name!r} has {len(rows)} rows over {length} steps of {frequency.code}; is freq right?",
        )
    values = np.full(length, np.nan)
    values[list(rows)] = each.values
    if (note := snap_note(grid, frequency)) is not None:
        notes[each.name] = note
    return beside.with_covariates(Column(each.name, values, grid.start), each, grid.steps)


def _one_step(table: Table, each: _Raw, row: int, later: int, moment: datetime, of: str = "") -> InvalidInput:
    lines = f"lines {table.rows[row].line} and {table.rows[later].line}"
    words = columns_of_words(table)
    cells, others = table.rows[row].cells, table.rows[later].cells
    told = ",".join(table.header[column] for column in words)
    hint = f", as in id={told}" if any(cells[column] != others[column] for column in words) else ""
    return InvalidInput(
        "time",
        f"{lines} are one step{of} in {each.name!r}, {moment.isoformat()}; "
        f"where a column tells series apart, name it with id{hint}; where clocks were set back, write times "
        "with their offset; otherwise merge the rows",
    )


def _check_series(num: int, bounds: Bounds) -> None:
    if num > bounds.max_series:
        text = f"the CSV has {num} series, more than the limit of {bounds.max_series}"
        raise over_limit("body", bounds.max_series, text)


def _check_points(num: int, bounds: Bounds) -> None:
    if num > bounds.max_points:
        text = f"the CSV has more than {bounds.max_points} observations, counting those its times skip and "
        text += "covariates"
        raise over_limit("body", bounds.max_points, text)
