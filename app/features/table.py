"""A CSV as a table: the one reader, so that a file that trains is served, and the reverse.

    bytes --decode--> text --delimiter, header--> rows --number_of--> numbers

What spreadsheets and data tools write is read: commas, semicolons, tabs or bars, ``sep=;`` in a first line,
a byte order mark, UTF-8 or UTF-16, blank lines, empty columns at the end, decimal commas, thousands parted by
commas, points, blanks or apostrophes, and the usual words for a missing value.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from app.core.errors import InvalidInput, over_limit
from app.features.times import is_time

DELIMITERS = ",;\t|"
MISSING = frozenset(
    {"", "-", "--", ".", "?", "na", "n/a", "#n/a", "#na", "<na>", "nan", "nat", "null", "none", "\\n"}
)
"""Cells that mean a missing value, in any case."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
# In French, Swiss and other files: a blank, one that does not break, a narrow one, an apostrophe.
_PARTS = " \u00a0\u2009\u202f'\u2019"
_PARTED = re.compile(rf"[+-]?\d{{1,3}}([{_PARTS}])\d{{3}}(\1\d{{3}})*([.,]\d*)?", re.ASCII)
_WITHOUT_PARTS = str.maketrans("", "", _PARTS)
# What no thousands look like: "1,5", "12,3456", "0,125", "1.234,5", "1.234.567".
_DECIMAL_COMMA = re.compile(
    r"[+-]?(0,\d+|\d+,(\d{1,2}|\d{4,})|\d{4,},\d+|\d{1,3}(\.\d{3})+,\d*|\d{1,3}(\.\d{3}){2,}|,\d+)"
    r"([eE][+-]?\d+)?",
    re.ASCII,
)
_SWAPPED = str.maketrans(",.", ".,")
BINARY = (
    ((b"PK\x03\x04", b"\xd0\xcf\x11\xe0"), "a spreadsheet or an archive; save the sheet as CSV"),
    ((b"\x1f\x8b",), "compressed with gzip; send it with content-encoding: gzip, or unpack it"),
)
# What a text is that is no table, by how it begins.
_OTHER_TEXTS = (
    (re.compile(r'\s*(\{\s*["}]|\[\s*[\[{"\d-])'), "JSON; send it with content-type: application/json"),
    (re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "a web page or XML"),
)
_SIGNS = re.compile("[\u20ac$\u00a3\u00a5%]")
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_MAX_SHOWN = 40
_SNIFFED_LINES = 20
_MAX_CELLS = 100_000
"""Of a line."""


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
            what = (
                "if the column holds no values, name those that do as targets, or this one as id if it tells "
            )
            what = "write it without the sign" if _SIGNS.search(cell) else f"{what}series apart"
            raise InvalidInput(name, f"line {row.line}: {cell[:_MAX_SHOWN]!r} is not a number; {what}")
        if not abs(value) <= largest:
            raise InvalidInput(
                name,
                f"line {row.line}: {cell[:_MAX_SHOWN]!r} is not a finite number of at most {largest:g}",
                allowed={"min": -largest, "max": largest},
            )
        return value


def number_of(cell: str, *, decimal_comma: bool = False) -> float | None:
    """What a cell says as a number; ``None`` when it says none.

    Blanks, apostrophes, and commas or, with a decimal comma, points may part the thousands.
    """
    if cell.startswith("\u2212"):
        cell = f"-{cell[1:]}"
    if _PARTED.fullmatch(cell):
        cell = cell.translate(_WITHOUT_PARTS)
    if decimal_comma and ("," in cell or _GROUPED.fullmatch(cell.replace(".", ","))):
        cell = cell.replace(".", "\0").replace(",", ".").replace("\0", ",")
    if _GROUPED.fullmatch(cell):
        cell = cell.replace(",", "")
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return math.inf
    return None


def read_table(data: bytes, max_rows: int | None = None, named: str = "rows") -> Table:
    """The table in a file or a body; of one with more than ``max_rows``, by that name, no more are read.

    Raises:
        InvalidInput: the text is in no encoding that is read, is no CSV, has no header, no rows or too many,
            a line has another number of cells than the header, or it cannot be told what its commas mean.
    """
    text, first_line = _decoded(data), 1
    delimiter = None
    if (separator := SEPARATOR_LINE.match(text)) is not None:
        delimiter, text, first_line = separator[1], text[separator.end() :], 2
    delimiter = delimiter or delimiter_of(text)
    found = _rows(text, delimiter, first_line)
    head = next(found, None)
    if head is None:
        raise InvalidInput("body", "the CSV is empty")
    rows = list(found if max_rows is None else islice(found, max_rows + 1))
    if max_rows is not None and len(rows) > max_rows:
        text = f"the CSV has more than {max_rows} {named}: line {rows[-1].line} is one too many"
        raise over_limit("body", max_rows, text)
    header = header_of(head, rows)
    if not rows:
        raise InvalidInput("body", "the CSV has a header but no rows")
    for row in rows:
        if header[-1]:  # else its delimiter at the end of a line is one of the header's
            del row.cells[max(len(header), _used(row.cells)) :]
        if len(row.cells) != len(header):
            raise InvalidInput(
                "body",
                f"line {row.line} has {len(row.cells)} cells, but the header has {len(header)} columns; "
                f"lines above the header are taken off, and cells that hold {delimiter!r} are quoted",
            )
    return Table(header, rows, has_decimal_commas(rows, delimiter))


def _decoded(data: bytes) -> str:
    for marks, what in BINARY:
        if data.startswith(marks):
            raise InvalidInput("body", f"this is no CSV but {what}")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, name = "utf-16", "UTF-16"
    else:
        encoding, name = "utf-8-sig", "UTF-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "body",
            f"the CSV is not {name}: byte {error.start} is not valid there; save it as UTF-8"
            + (", or convert it: iconv -f WINDOWS-1252 -t UTF-8" if name == "UTF-8" else ""),
        ) from error
    for beginning, what in _OTHER_TEXTS:
        if beginning.match(text):
            raise InvalidInput("body", f"this is no CSV but {what}")
    return text


def delimiter_of(text: str) -> str:
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
    lines = _lines(io.StringIO(text, newline=""), delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield Row(reader.line_num + first_line - 1, stripped)
    except csv.Error as error:
        line = reader.line_num + first_line - 1
        raise InvalidInput("body", f"line {line} is not CSV: {error}") from error


def _lines(text: io.StringIO, delimiter: str) -> Iterator[str]:
    """Nothing else runs while a line is cut into cells."""
    for number, line in enumerate(text, start=1):
        if len(line) > _MAX_CELLS and line.count(delimiter) >= _MAX_CELLS:
            raise over_limit("body", _MAX_CELLS, f"line {number} of the CSV has more than {_MAX_CELLS} cells")
        yield line


def header_of(head: Row, rows: list[Row]) -> list[str]:
    """The names of the columns; empty columns at the end of every line are taken off."""
    header = head.cells
    used = _used(header)
    for row in rows:
        if len(row.cells) >= len(header) > used:
            used = max(used, min(_used(row.cells), len(header)))
    if used < len(header):
        header = header[:used]
        for row in rows:
            del row.cells[max(used, _used(row.cells)) :]
    numbers = [number_of(name) is not None for name in header]
    if any(numbers) and all(number or is_time(name) for name, number in zip(header, numbers, strict=True)):
        raise InvalidInput("body", "the first line of the CSV must name the columns; it holds numbers")
    known: set[str] = set()
    for name in header:
        if name in known:
            raise InvalidInput("body", f"two columns of the CSV have the same name, {name!r}; rename one")
        known.add(name)
    return header


def _used(cells: list[str]) -> int:
    """How many there are without the empty ones at the end, but for the first."""
    num = len(cells)
    while num > 1 and not cells[num - 1]:
        num -= 1
    return num


def has_decimal_commas(rows: list[Row], delimiter: str) -> bool:
    """Whether the commas in numbers are decimal ones: decided by the whole table, never cell by cell.

    ``1,234`` alone says nothing. Between semicolons it is a little more than one, as the programs of the
    countries with decimal commas write; between commas it was quoted, and is a thousand.
    """
    undecided: Row | None = None
    points = False
    for row in rows:
        for cell in row.cells:
            if _PARTED.fullmatch(cell):
                cell = cell.translate(_WITHOUT_PARTS)
            if "," in cell or cell.count(".") > 1:
                if _DECIMAL_COMMA.fullmatch(cell):
                    return True
                if undecided is None and _GROUPED.fullmatch(cell):
                    undecided = row
            points = points or (
                "." in cell and _DECIMAL_COMMA.fullmatch(cell.translate(_SWAPPED)) is not None
            )
    if undecided is None or points or delimiter == ",":
        return False
    if delimiter == ";":
        return True
    cell = next(cell for cell in undecided.cells if _GROUPED.fullmatch(cell))
    raise InvalidInput(
        "body",
        f"line {undecided.line}: {cell!r} may be a thousand or a little more than one, and no other number "
        "tells which; write it without the comma",
    )
