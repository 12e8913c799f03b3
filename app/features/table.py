"""A CSV as a table: the one reader, so that a file that trains is served, and the reverse.

    bytes --decode--> text --delimiter, header--> rows --number_of--> numbers

What spreadsheets and data tools write is read: commas, semicolons, tabs or bars, ``sep=;`` in a first line,
a byte order mark, UTF-8 or UTF-16, blank lines, empty columns at the end, decimal commas, and the usual words
for a missing value.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.core.errors import InvalidInput

DELIMITERS = ",;\t|"
MISSING = frozenset(
    {"", "-", "--", ".", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "null", "none", "\\n"}
)
"""Cells that mean a missing value, in any case."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_MAX_SHOWN = 40
_SNIFFED_LINES = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the file, counted from 1, and its cells without the blanks around them."""

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A header of unlike names, and one row or more; with a decimal comma numbers are as in ``1.234,5``."""

    header: list[str]
    rows: list[Row]
    decimal_comma: bool

    def index_of(self, name: str, field: str) -> int:
        """The column that the parameter ``field`` names; raises InvalidInput."""
        if name not in self.header:
            raise InvalidInput(field, f"the CSV has no column {name!r}", allowed=self.header)
        return self.header.index(name)

    def number(self, row: Row, column: int, largest: float) -> float:
        """A cell, NaN where it is missing; raises InvalidInput, which names line and column."""
        cell = row.cells[column]
        if cell.lower() in MISSING:
            return math.nan
        value = number_of(cell, decimal_comma=self.decimal_comma)
        name = self.header[column]
        if value is None:
            raise InvalidInput(
                name,
                f"line {row.line}: {cell[:_MAX_SHOWN]!r} is not a number; "
                "if the column holds no values, name those that do as targets",
            )
        if not abs(value) <= largest:
            raise InvalidInput(
                name,
                f"line {row.line}: {cell[:_MAX_SHOWN]!r} is not a finite number of at most {largest:g}",
                allowed={"min": -largest, "max": largest},
            )
        return value


def number_of(cell: str, *, decimal_comma: bool = False) -> float | None:
    """What a cell says as a number; ``None`` when it says none.

    Commas or, with a decimal comma, points may part the thousands.
    """
    if decimal_comma and ("," in cell or _GROUPED.fullmatch(cell.replace(".", ","))):
        cell = cell.replace(".", "\0").replace(",", ".").replace("\0", ",")
    if _GROUPED.fullmatch(cell):
        cell = cell.replace(",", "")
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return math.inf
    return None


def read_table(data: bytes) -> Table:
    """The table in a file or a body.

    Raises:
        InvalidInput: the text is in no encoding that is read, is no CSV, has no header or no rows, or a line
            has another number of cells than the header.
    """
    text, first_line = _decoded(data), 1
    delimiter = None
    if (separator := _SEPARATOR_LINE.match(text)) is not None:
        delimiter, text, first_line = separator[1], text[separator.end() :], 2
    delimiter = delimiter or _delimiter(text)
    found = _rows(text, delimiter, first_line)
    head = next(found, None)
    if head is None:
        raise InvalidInput("body", "the CSV is empty")
    rows = list(found)
    header = _header(head, rows)
    if not rows:
        raise InvalidInput("body", "the CSV has a header but no rows")
    for row in rows:
        if len(row.cells) != len(header):
            raise InvalidInput(
                "body",
                f"line {row.line} has {len(row.cells)} cells, but the header has {len(header)} columns",
            )
    return Table(header, rows, delimiter != "," and _has_decimal_commas(rows))


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, name = "utf-16", "UTF-16"
    else:
        encoding, name = "utf-8-sig", "UTF-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "body",
            f"the CSV is not {name}: byte {error.start} is not valid there; save it as UTF-8",
        ) from error


def _delimiter(text: str) -> str:
    """The delimiter that cuts the first lines alike, outside of quotes, into the most cells."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:_SNIFFED_LINES]
    counts = {
        delimiter: [re.sub(r'"[^"]*"', "", line).count(delimiter) for line in lines]
        for delimiter in DELIMITERS
    }

    def merit(delimiter: str) -> tuple[bool, int]:
        found = counts[delimiter]
        alike = bool(found) and min(found) == max(found) and found[0] > 0
        return alike, found[0] if found else 0

    return max(DELIMITERS, key=merit)


def _rows(text: str, delimiter: str, first_line: int) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield Row(reader.line_num + first_line - 1, stripped)
    except csv.Error as error:
        line = reader.line_num + first_line - 1
        raise InvalidInput("body", f"line {line} is not CSV: {error}") from error


def _header(head: Row, rows: list[Row]) -> list[str]:
    """The names of the columns; empty columns at the end of every line are taken off."""
    header = head.cells
    while (
        len(header) > 1
        and not header[-1]
        and all(len(row.cells) < len(header) or not row.cells[-1] for row in rows)
    ):
        header = header[:-1]
        for row in rows:
            del row.cells[len(header) :]
    if all(number_of(name) is not None for name in header):
        raise InvalidInput("body", "the first line of the CSV must name the columns; it holds numbers")
    if len(set(header)) != len(header):
        raise InvalidInput("body", "two columns of the CSV have the same name")
    return header


def _has_decimal_commas(rows: list[Row]) -> bool:
    """Whether a cell of the first rows is a number only when its comma is a decimal one."""
    cells = (cell for row in rows[:1000] for cell in row.cells if "," in cell)
    return any(number_of(cell, decimal_comma=True) is not None for cell in cells)
