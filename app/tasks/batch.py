"""What a task says of ``rnnserve batch``: how rows of a table become requests, and answers become rows.

    file --app.batch--> Rows --Batcher.items--> Items --Batcher.request--> request of the task
    answer of the task --Batcher.rows--> columns --app.batch--> file

It is the same for a table in memory as for a part of a file that fits into no memory: what must not depend
on the part, such as which column holds times, is decided once for a file, from its first part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.core.errors import InvalidInput

Cells = Sequence[str] | NDArray[np.generic]
"""A column: texts as they stand in the file, without the blanks around them; or ``float64``, ``int64`` or
``datetime64[us]``, NaN or NaT where missing."""
Kind = Literal["text", "number", "whole"]
"""Of a column of answers; each may miss values."""
Layout = dict[str, Any]
"""What a task decided for a whole file; JSON."""


_PLAIN, _DECIMAL_COMMA = b"0123456789+-.eE", b"0123456789+-,"


class Reject(NamedTuple):
    """Rows that cannot be answered: the line of the first, the sequence they belong to, and why.

    Line 0 is the whole file.
    """

    line: int
    id: str | None
    reason: str


@dataclass(slots=True, eq=False)
class Rows:
    """Consecutive rows of a file.

    Attributes:
        lines: of each row, its line in a text file, or its number in any other, counted from 1.
        columns: by name, all of one length.
        decimal_comma: whether numbers in texts are written as in ``1.234,5``.
    """

    lines: Sequence[int]
    columns: dict[str, Cells]
    decimal_comma: bool = False
    _texts: dict[str, Sequence[str]] = field(default_factory=dict)
    _runs: dict[tuple[str, ...], list[tuple[str, int, int]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def texts(self, name: str) -> Sequence[str]:
        """A column as it would stand in a CSV, empty where missing."""
        found = self._texts.get(name)
        if found is None:
            cells = self.columns[name]
            found = self._texts[name] = written(cells) if isinstance(cells, np.ndarray) else cells
        return found

    def between(self, first: int, last: int) -> Rows:
        """The rows from ``first`` up to, and without, ``last``."""
        columns = {name: cells[first:last] for name, cells in self.columns.items()}
        return Rows(self.lines[first:last], columns, self.decimal_comma)

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """One or more, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        lines = [line for part in parts for line in part.lines]
        columns = {name: _joined([part.columns[name] for part in parts]) for name in parts[0].columns}
        return Rows(lines, columns, parts[0].decimal_comma)

    def keys(self, names: Sequence[str]) -> Sequence[str]:
        """Of each row what tells its sequence: the cells of some columns, with slashes between them."""
        parts = [self.texts(name) for name in names]
        return parts[0] if len(parts) == 1 else ["/".join(cells) for cells in zip(*parts, strict=True)]

    def runs(self, names: Sequence[str]) -> list[tuple[str, int, int]]:
        """Of neighbours of one sequence: its key, and the first and behind the last of them."""
        known = tuple(names)
        if known not in self._runs:
            self._runs[known] = _runs_of(self.keys(names))
        return self._runs[known]

    def groups(self, names: Sequence[str]) -> list[tuple[str, NDArray[np.intp]]]:
        """The rows of each sequence, in the order in which the sequences begin."""
        found: dict[str, NDArray[np.intp]] = {}
        for key, first, last in self.runs(names):
            rows = np.arange(first, last)
            found[key] = np.concatenate([found[key], rows]) if key in found else rows
        return list(found.items())


def _runs_of(keys: Sequence[str]) -> list[tuple[str, int, int]]:
    if not len(keys):
        return []
    numbers = np.fromiter(map(_Numbers().__getitem__, keys), np.int64, len(keys))
    cuts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(keys)]
    return [(keys[first], first, last) for first, last in pairwise(cuts)]


class _Numbers(dict[str, int]):
    """Texts to numbers, alike to the same one."""

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self)
        return number


def written(cells: NDArray[np.generic]) -> list[str]:
    if cells.dtype.kind == "M":
        texts = np.datetime_as_string(cells.astype("datetime64[us]"), "auto").tolist()
        return ["" if text == "NaT" else text for text in texts]
    return ["" if math.isnan(cell) else repr(cell) for cell in cells.tolist()]


def _joined(parts: Sequence[Cells]) -> Cells:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    return [cell for part in parts for cell in (written(part) if isinstance(part, np.ndarray) else part)]


@dataclass(slots=True, eq=False)
class Item:
    """One sequence to be answered.

    Attributes:
        line: of its first row.
        id: of the sequence, where it has one.
        size: about how many steps it takes; requests are made of items of like size.
        content: what the task needs for request and answer.
    """

    line: int
    id: str | None
    size: int
    content: Any


class Batcher(Protocol):
    """One model with the options of one run."""

    @property
    def columns(self) -> Mapping[str, Kind]:
        """Of the answers, in order."""

    def layout(self, head: Rows, file: str) -> Layout:
        """Decide for a file from its first rows; raises InvalidInput."""

    def key(self, layout: Layout) -> Sequence[str]:
        """The columns that tell which rows make a sequence; none where each row is one."""

    def items(self, rows: Rows, layout: Layout) -> tuple[list[Item], list[Reject]]:
        """The sequences of some rows, each of them whole, and those that are none."""

    def request(self, items: Sequence[Item], layout: Layout) -> BaseModel: ...

    def rows(self, items: Sequence[Item], answer: Any, columns: Mapping[str, list[Any]]) -> list[int]:
        """Append what was answered to the ``columns``; how many rows that were for each item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """``rnnserve batch {task} INPUT --out OUTPUT``.

    Attributes:
        doc: its help.
        options: class whose fields are the flags, read from text; one of them is ``model``.
        open: ``(model of the task, options) -> Batcher``; raises InvalidInput.
    """

    doc: str
    options: type[BaseModel]
    open: Callable[[Any, Any], Batcher]


def column_named(rows: Rows, name: str, flag: str) -> str:
    """The column that a flag names; raises InvalidInput."""
    if name not in rows.columns:
        raise InvalidInput(flag, f"there is no column {name!r}", allowed=list(rows.columns))
    return name


def plain_numbers(cells: Cells, decimal_comma: bool) -> NDArray[np.float64] | None:
    """A column of numbers written in the plainest way, NaN where a cell is empty; ``None`` where one is not.

    What is read here is read alike by :meth:`app.features.table.Table.number`, which knows more ways.
    """
    if isinstance(cells, np.ndarray):
        return cells.astype(np.float64) if cells.dtype.kind in "fi" else None
    text = "".join(cells)
    if not text.isascii():
        return None
    if decimal_comma and not text.encode().translate(None, _DECIMAL_COMMA):
        cells = "\n".join(cells).replace(",", ".").split("\n")
    elif text.encode().translate(None, _PLAIN if not decimal_comma else _DECIMAL_COMMA[:-1]):
        return None
    try:
        return np.array([*map(float, cells)] if "" not in cells else [float(cell or "nan") for cell in cells])
    except ValueError:
        return None
