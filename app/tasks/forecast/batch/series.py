"""The series of a part of a long table, as :func:`app.features.columns.read_columns` reads a whole one.

    rows --which columns, frequency, form of times: decided once for the file--> series

Most tables are plain: an id, a time, a number. Their columns are read at once, each time that is written
alike is read once, and series with the same times share their grid. What is not plain, and whatever seems
wrong, goes to ``read_columns`` series by series, whose errors are the server's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.features.columns import Bounds, Column, ReadSeries, read_columns
from app.features.frequency import parse_frequency
from app.features.grid import OffGrid, place, snap_note
from app.features.layout import ID_NAMES, Layout
from app.features.table import Row, Table
from app.features.times import read_times
from app.tasks.batch import Cells, Reject, Rows, plain_numbers

_PARAMETERS = frozenset({"body", *(field.name for field in fields(Layout))})
_MOST_KEPT = 200_000
"""Times, and grids of series, that are remembered; then they are forgotten all at once."""
_DAYS = range(13, 32)


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Which columns of a file mean what, and how its times and numbers are written.

    Attributes:
        witnesses: times of the first part that tell the form of all: ``03/04/2024`` alone says nothing.
        zoned: whether times have their offset from UTC.
    """

    time: str | None
    id: list[str]
    targets: list[str]
    frequency: str | None
    future: list[str]
    past: list[str]
    static: list[str]
    plain: bool
    witnesses: list[str]
    zoned: bool

    @property
    def columns(self) -> Layout:
        return Layout(
            self.time,
            ",".join(self.id) or None,
            self.targets,
            self.frequency,
            self.future,
            self.past,
            self.static,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One series: its column, and what was done to read it."""

    line: int
    column: Column
    note: str | None


def find_layout(rows: Rows, layout: Layout, bounds: Bounds) -> TableLayout:
    """Decide for a file from its first part; raises InvalidInput."""
    table = table_of(rows)
    try:
        read = read_columns(table, layout, bounds)
    except InvalidInput:
        # A bad series must not decide for the others: the first good one does.
        good = _first_good(rows, layout, bounds)
        if good is None:
            raise
        read = good
    roles, header = read.roles, table.header
    names = [[header[at] for at in part] for part in (roles.future, roles.past, roles.static)]
    time = None if roles.time is None else header[roles.time]
    witnesses: list[str] = []
    zoned = False
    if time is not None and roles.clock is None:
        cells = rows.texts(time)
        witnesses = _witnesses(cells)
        zoned = read_times(witnesses, [1] * len(witnesses), time)[0].tzinfo is not None
    plain = time is not None and roles.clock is None and len(roles.targets) == 1 and not any(names)
    return TableLayout(
        time=time,
        id=[header[at] for at in roles.identifier],
        targets=[header[at] for at in roles.targets],
        frequency=None if read.frequency is None else read.frequency.code,
        future=names[0],
        past=names[1],
        static=names[2],
        plain=plain and bool(roles.identifier),
        witnesses=witnesses,
        zoned=zoned,
    )


def _first_good(rows: Rows, layout: Layout, bounds: Bounds) -> ReadSeries | None:
    usual = [name for name in rows.columns if name.lower() in ID_NAMES][:1]
    names = [name.strip() for name in layout.id.split(",")] if layout.id else usual
    if not names or not set(names) <= set(rows.columns):
        return None
    for _, group in rows.groups(names):
        with suppress(InvalidInput):
            return read_columns(table_of(rows, group), replace(layout, id=",".join(names)), bounds)
    return None


def _witnesses(cells: Sequence[str]) -> list[str]:
    """The first time, and the first ones whose day cannot be a month, in either place."""
    found = {0: cells[0]}
    for cell in cells:
        parts = cell.replace(".", "/").replace("-", "/").split("/")
        for at, part in enumerate(parts[:2], start=1):
            if part.isdecimal() and len(part) <= 2 and int(part) in _DAYS:
                found.setdefault(at, cell)
        if len(found) > 2:
            break
    return list(found.values())


def table_of(rows: Rows, group: NDArray[np.intp] | None = None) -> Table:
    """Some rows, or all, as a table of texts."""
    columns = [rows.texts(name) for name in rows.columns]
    places = range(len(rows)) if group is None else group.tolist()
    made = [Row(rows.lines[at], [cells[at] for cells in columns]) for at in places]
    return Table(list(rows.columns), made, rows.decimal_comma)


class SeriesReader:
    """Reads the parts of one file."""

    def __init__(self, layout: TableLayout, bounds: Bounds) -> None:
        self._layout = layout
        self._columns = layout.columns
        self._bounds = bounds
        self._frequency = None if layout.frequency is None else parse_frequency(layout.frequency)
        self._moments: list[datetime] = []
        self._times = _Times(layout, self._moments)
        self._grids: dict[bytes, _Places | None] = {}

    def read(self, rows: Rows) -> tuple[list[Found], list[Reject]]:
        found: list[Found] = []
        rejects: list[Reject] = []
        values, times = self._plain(rows)
        groups = rows.groups(self._layout.id) if self._layout.id else [("", np.arange(len(rows)))]
        for key, group in groups:
            line = rows.lines[group[0]]
            if values is not None and times is not None:
                column = self._column(key, values[group], times[group])
                if column is not None:
                    found.append(Found(line, *column))
                    continue
            try:
                read = read_columns(table_of(rows, group), self._columns, self._bounds)
            except InvalidInput as error:
                where = "" if error.field in _PARAMETERS else f"column {error.field!r}, "
                rejects.append(Reject(line, key or None, f"{where}{error.message}"))
            else:
                found += [Found(line, column, read.notes.get(column.name)) for column in read.columns]
        return found, rejects

    def _plain(self, rows: Rows) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
        """Values and numbers of times of all rows; ``None`` where they are to be read one by one."""
        layout = self._layout
        if not layout.plain or layout.time is None:
            return None, None
        values = plain_numbers(rows.columns[layout.targets[0]], rows.decimal_comma)
        if values is None or not (np.abs(values[~np.isnan(values)]) <= self._bounds.largest).all():
            return None, None
        if len(self._moments) > _MOST_KEPT or len(self._grids) > _MOST_KEPT:
            self._times.clear()
            self._moments.clear()
            self._grids.clear()
        try:
            return values, self._numbered(rows.columns[layout.time])
        except InvalidInput:
            return None, None

    def _numbered(self, cells: Cells) -> NDArray[np.int64]:
        """Of each time its number; raises InvalidInput."""
        if not isinstance(cells, np.ndarray):
            return np.fromiter(map(self._times.__getitem__, cells), np.int64, len(cells))
        if cells.dtype.kind != "M" or np.isnat(cells).any():
            raise InvalidInput(str(self._layout.time), "these are no times, or some are missing")
        different, places = np.unique(cells.astype("datetime64[us]"), return_inverse=True)
        times = different.tolist()
        return np.fromiter(map(self._times.__getitem__, times), np.int64, len(times))[places]

    def _column(
        self, key: str, values: NDArray[np.float64], times: NDArray[np.int64]
    ) -> tuple[Column, str | None] | None:
        """A series whose times are plain; ``None`` leaves it, and what is to be said of it, to the others."""
        known = times.tobytes()
        if known in self._grids:
            places = self._grids[known]
        else:
            places = self._grids[known] = self._placed(times)
        if places is None:
            return None
        if not places.regular:
            whole = np.full(places.length, np.nan)
            whole[places.steps] = values
            values = whole
        return Column(key, values, places.start), places.note

    def _placed(self, times: NDArray[np.int64]) -> _Places | None:
        frequency = self._frequency
        if frequency is None:
            return None
        moments = [self._moments[number] for number in times.tolist()]
        try:
            grid = place(moments, frequency)
        except OffGrid:
            return None
        steps = np.array(grid.steps)
        length = int(steps.max()) + 1
        if len(set(grid.steps)) < len(steps) or length > 2 * len(steps) + 1000:
            return None
        regular = length == len(steps) and all(later == step + 1 for step, later in pairwise(grid.steps))
        return _Places(grid.start, steps, length, regular, snap_note(grid, frequency))


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    start: datetime
    steps: NDArray[np.int64]
    length: int
    regular: bool
    note: str | None


class _Times(dict[object, int]):
    """Times, as they are written, to their numbers among the ``moments``; raises InvalidInput."""

    def __init__(self, layout: TableLayout, moments: list[datetime]) -> None:
        super().__init__()
        self._layout = layout
        self._moments = moments

    def __missing__(self, cell: object) -> int:
        layout = self._layout
        if isinstance(cell, datetime):
            moment = cell
        else:
            witnesses = [*layout.witnesses, str(cell)]
            moment = read_times(witnesses, [1] * len(witnesses), layout.time or "")[-1]
            if (moment.tzinfo is not None) != layout.zoned:
                raise InvalidInput(
                    layout.time or "", "some times have an offset from UTC, and some have none"
                )
        number = self[cell] = len(self._moments)
        self._moments.append(moment)
        return number
