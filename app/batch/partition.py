"""A part of the work: the sequences that begin in one part of a file, each read to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.batch.cut import Cut
from app.batch.files import InputFile, open_rows
from app.batch.place import troubles
from app.batch.row_file import Broken, Dialect, RowFile, unreadable
from app.core.errors import InvalidInput
from app.tasks.batch import Cells, Layout, Reject, Rows


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for a file from its first part; plain values, so that it goes to any process."""

    file: InputFile
    size: int
    encoding: str
    dialect: Dialect
    layout: Layout
    key: Sequence[str]


@dataclass(frozen=True, slots=True)
class Partition:
    """``number`` counts over all files."""

    number: int
    plan: Plan
    cut: Cut


def read_partition(partition: Partition) -> tuple[Rows, list[Reject]]:
    """The rows of the sequences that begin in it, and those that cannot be read.

    A sequence that is cut by the part's end is read on behind it, and one that comes from the part before
    is left to that. A row that cannot be read takes its whole sequence with it.

    Raises:
        InvalidInput: the rows of a sequence do not lie together, in a file of several parts.
        ConfigurationError: the file cannot be read.
    """
    plan, cut = partition.plan, partition.cut
    file = open_rows(plan.file, plan.size, plan.encoding, plan.dialect)
    try:
        rows, broken = file.read(cut.first, cut.last, cut.line)
        if not plan.key:
            return rows, [Reject(each.line, None, each.reason) for each in broken]
        if not cut.alone:
            rows, broken = _whole(file, cut, plan.key, rows, broken)
            _check_together(rows, plan.key)
    except troubles() as error:
        raise unreadable(plan.file.path, error) from error
    return _without(rows, broken, plan.key, file.header)


def _whole(
    file: RowFile, cut: Cut, key: Sequence[str], rows: Rows, broken: list[Broken]
) -> tuple[Rows, list[Broken]]:
    if cut.before >= 0:
        before, _ = file.read(cut.before, cut.first, cut.before_line)
        if len(before):
            last = before.keys(key)[-1]
            rows = rows.between(_same(rows.keys(key), last), len(rows))
            broken = [each for each in broken if _key_of(each, key, file.header) != last]
    if not len(rows):
        return rows, broken
    last, parts = rows.keys(key)[-1], [rows]
    for more, bad in file.following(cut.last, cut.next_line):
        count = _same(more.keys(key), last)
        broken += [each for each in bad if _key_of(each, key, file.header) == last]
        parts.append(more.between(0, count))
        if count < len(more):
            break
    return Rows.joined(parts), broken


def _same(keys: Sequence[str], wanted: str) -> int:
    """How many of the first keys are that one."""
    return next((place for place, key in enumerate(keys) if key != wanted), len(keys))


def _check_together(rows: Rows, key: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for name, first, _ in rows.runs(key):
        if name in seen:
            raise InvalidInput(
                key[0],
                f"line {rows.lines[first]}: rows of {name!r} do not lie together, others stand between them "
                f"and those from line {rows.lines[seen[name]]} on; sort the file by {' and '.join(key)}, or "
                "take parts as large as the file with --part-mb",
            )
        seen[name] = first


def _without(
    rows: Rows, broken: Sequence[Broken], key: Sequence[str], header: Sequence[str]
) -> tuple[Rows, list[Reject]]:
    """Without the sequences that rows belong to which cannot be read."""
    rejects = [Reject(each.line, _key_of(each, key, header), each.reason) for each in broken]
    bad = {reject.id for reject in rejects} - {None}
    if not bad:
        return rows, rejects
    kept = [name not in bad for name in rows.keys(key)]
    if all(kept):
        return rows, rejects
    columns: dict[str, Cells] = {
        name: [cell for cell, keep in zip(rows.texts(name), kept, strict=True) if keep]
        for name in rows.columns
    }
    lines = [line for line, keep in zip(rows.lines, kept, strict=True) if keep]
    return Rows(lines, columns, rows.decimal_comma), rejects


def _key_of(broken: Broken, key: Sequence[str], header: Sequence[str]) -> str | None:
    places = [header.index(name) for name in key]
    if max(places) >= len(broken.cells):
        return None
    return "/".join(broken.cells[place].strip() for place in places)
