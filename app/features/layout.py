"""Which columns of a table mean what: said by the caller, or told by their names and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import InvalidInput
from app.features.table import MISSING, Table, number_of
from app.features.times import hint_of, is_clock, is_nameless, is_time, looks_like_times, names_times

ID_NAMES = frozenset({"unique_id", "item_id", "series_id", "ts_id"})
# Of the rows: a table of one series has as many times as rows.
_MOST_TIMES_OF_LONG = 0.75


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a table mean what.

    Attributes:
        time: name of the time column; told by what the first column holds when left out.
        id: column, or several by commas, that tells the series of a row (long format); told by names such as
            ``unique_id``, or as the only column of words, or called ``id``, where many times repeat.
        targets: columns of values; all but the others when empty.
        frequency: code such as ``D``; told from the times when left out.
        future, past, static: columns that are no series, but covariates of all of them: numbers known ahead,
            numbers known of the past, and what never changes along a series.
    """

    time: str | None = None
    id: str | None = None
    targets: Sequence[str] = ()
    frequency: str | None = None
    future: Sequence[str] = ()
    past: Sequence[str] = ()
    static: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns by what they hold; ``clock`` has the times of day where ``time`` has dates alone.

    ``identifier`` are those that tell the series of a row, none in a wide table; ``words`` hold words alone
    and were left out; ``future`` and ``past`` are covariates of numbers, ``static`` those that never change.
    """

    time: int | None
    clock: int | None
    identifier: list[int]
    targets: list[int]
    words: list[int]
    future: list[int]
    past: list[int]
    static: list[int]

    @property
    def width(self) -> int:
        """Cells of a row that each series takes."""
        return 1 + len(self.future) + len(self.past) + len(self.static)

    def times(self, table: Table) -> list[str]:
        assert self.time is not None
        if self.clock is None:
            return [row.cells[self.time] for row in table.rows]
        return [f"{row.cells[self.time]} {row.cells[self.clock]}" for row in table.rows]


def roles_of(table: Table, layout: Layout) -> Roles:
    """What was not said is told from names and cells; raises InvalidInput."""
    header = table.header
    identifier = _identifier(table, layout.id)
    time = None if layout.time is None else table.index_of(layout.time, "time")
    index: int | None = None
    if time is None:
        time, index = _time_column(table, identifier)
    clock = None if time is None else _clock_column(table, time)
    targets = _named(table, layout.targets, "targets")
    future, past = _named(table, layout.future, "future"), _named(table, layout.past, "past")
    static = _named(table, layout.static, "static")
    taken = {time, clock, index, *identifier, *future, *past}
    others = [column for column in range(len(header)) if column not in taken]
    words = [column for column in others if _holds_words(table, column)]
    if not identifier and time is not None:
        identifier = _telling_column(table, time, clock, others, words)
    if not targets:
        others = _without(others, identifier, static)
        # Where nothing but words is left, the error says which cell is no number.
        targets = _without(others, words) or others
        words = _without(words, targets, identifier, static)
    else:
        words = []
    known = set(targets)
    for column in (*future, *past):
        if column in known:
            raise InvalidInput("targets", f"column {header[column]!r} is named twice, as target or covariate")
        known.add(column)
    if not targets:
        what = "a time column" if time is not None else "an id column"
        raise InvalidInput("body", f"the CSV has {what} but no column of values")
    return Roles(time, clock, identifier, targets, words, future, past, static)


def _without(columns: Sequence[int], *others: Sequence[int]) -> list[int]:
    taken = {column for each in others for column in each}
    return [column for column in columns if column not in taken]


def _identifier(table: Table, names: str | None) -> list[int]:
    if names is None:
        return [column for column, name in enumerate(table.header) if name.lower() in ID_NAMES][:1]
    return _named(table, names.split(","), "id")


def _named(table: Table, names: Sequence[str], field: str) -> list[int]:
    """Columns by names that were written with commas between them, where a name may have one itself."""
    whole = ",".join(names)
    if names and whole in table.header:
        names = [whole]
    places = {name: column for column, name in enumerate(table.header)}
    names = [name.strip() for name in names]
    return [places[name] if name in places else table.index_of(name, field) for name in names]


def _time_column(table: Table, identifier: Sequence[int]) -> tuple[int | None, int | None]:
    """The time column, and the index that a data tool wrote, which says nothing.

    The first column is asked by its name too; any other only by cells that can be nothing else.
    """
    index = None
    first = True
    for column, name in enumerate(table.header):
        if column in identifier:
            continue
        cells = [row.cells[column] for row in table.rows]
        if looks_like_times(name, cells) if first else is_time(cells[0]):
            return column, index
        if first and is_nameless(name) and _counts_up(cells) and len(table.header) > 1:
            index = column
            continue
        hint = hint_of(cells[0]) if names_times(name) or not cells[0].isdigit() else ""
        if len(table.header) > 1 and ((first and names_times(name)) or hint):
            named = "is named as times are" if names_times(name) else "seems to hold times"
            raise InvalidInput(
                "time",
                f"column {name!r} {named}, but {cells[0][:40]!r} is none that is read; "
                + (hint or "name the time column with time=, or rename this one"),
            )
        first = first and bool(identifier)
    return None, index


def _clock_column(table: Table, time: int) -> int | None:
    """The column of times of day behind one of dates, if there is one."""
    column = time + 1
    if column >= len(table.header) or ":" in table.rows[0].cells[time]:
        return None
    cells = [row.cells[column] for row in table.rows]
    return column if is_clock(table.header[column], cells) else None


def _telling_column(
    table: Table, time: int, clock: int | None, candidates: Sequence[int], words: list[int]
) -> list[int]:
    """The column that tells series apart, if any: only where many times repeat, which one series has not.

    Each of its series must have each time once; where two columns part the rows otherwise, neither is taken.
    """
    times = [(row.cells[time], None if clock is None else row.cells[clock]) for row in table.rows]
    if len(set(times)) > _MOST_TIMES_OF_LONG * len(table.rows):
        return []
    telling: dict[int, list[int]] = {}
    for column in words or [column for column in candidates if table.header[column].lower() == "id"]:
        keys = [row.cells[column] for row in table.rows]
        if len(set(zip(keys, times, strict=True))) == len(table.rows):
            telling.setdefault(len(set(keys)), []).append(column)
    return next(iter(telling.values()))[:1] if len(telling) == 1 else []


def _holds_words(table: Table, column: int) -> bool:
    """Whether no cell is a number, and one is a word."""
    cells = (row.cells[column] for row in table.rows)
    known = [cell for cell in cells if cell.lower() not in MISSING]
    return bool(known) and all(number_of(cell, decimal_comma=table.decimal_comma) is None for cell in known)


def columns_of_words(table: Table) -> list[int]:
    """What may tell series apart: columns that hold neither numbers nor times."""
    first = table.rows[0].cells
    return [column for column, cell in enumerate(first) if _holds_words(table, column) and not is_time(cell)]


def _counts_up(cells: Sequence[str]) -> bool:
    return cells[0] in ("0", "1") and all(
        cell == str(number) for number, cell in enumerate(cells, start=int(cells[0]))
    )
