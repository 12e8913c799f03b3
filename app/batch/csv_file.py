"""A CSV in parts. What its text means is told from its first part, as :mod:`app.features.table` tells it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from app.batch.plain_csv import plain_cells
from app.batch.row_file import TELLING_ROWS, Broken, Dialect, Read
from app.batch.text_file import TextFile
from app.core.errors import InvalidInput
from app.features.table import BINARY, SEPARATOR_LINE, Row, delimiter_of, has_decimal_commas, header_of
from app.tasks.batch import Cells, Rows

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MARK_BYTES = 16
_NOT_TEXT = "its bytes are not {}; name the encoding with --encoding, such as latin-1"
csv.field_size_limit(2**31 - 1)


class CsvFile(TextFile):
    """See :class:`app.batch.text_file.TextFile`.

    Args:
        encoding: in which a line's end, a quote and the delimiter are single bytes.
    """

    quoted = True

    def __init__(self, path: Path, size: int, encoding: str, dialect: Dialect | None = None) -> None:
        self._encoding = encoding
        super().__init__(path, size, dialect)
        self._delimiter: str = self.dialect["delimiter"]

    def _found_out(self) -> Dialect:
        data = self._bytes(0, _MARK_BYTES)
        for marks, what in BINARY:
            if data.startswith(marks):
                what = what.replace("send it with content-encoding: gzip, or unpack it", "unpack it")
                raise InvalidInput("body", f"this is no CSV but {what}")
        if data.startswith(_UTF_16):
            hint = "convert it: iconv -f UTF-16 -t UTF-8"
            raise InvalidInput("body", f"the CSV is in UTF-16, which is not read in parts; {hint}")
        start = len(_BOM) if data.startswith(_BOM) else 0
        text, line = self._first_part(start).decode(self._encoding, "replace"), 1
        delimiter = None
        if (separator := SEPARATOR_LINE.match(text)) is not None:
            delimiter, line = separator[1], 2
            start += len(separator[0].encode(self._encoding))
            text = text[separator.end() :]
        delimiter = delimiter or delimiter_of(text)
        found = _records(text, delimiter, line)
        head = next((row for row in found if any(row.cells)), None)
        if head is None:
            raise InvalidInput("body", "the CSV is empty")
        rows = [row for row in islice(found, TELLING_ROWS) if any(row.cells)]
        header = header_of(head, rows)
        # Blank lines may stand above the header.
        first = rows[0].line if rows else head.line + 1
        above = "".join(io.StringIO(text, newline="").readlines()[: first - line])
        return {
            "header": header,
            "delimiter": delimiter,
            "decimal_comma": has_decimal_commas(rows, delimiter),
            "start": start + len(above.encode(self._encoding)),
            "line": first,
        }

    def _parsed(self, data: bytes, line: int) -> Read:
        errors = "strict"
        try:
            text = data.decode(self._encoding)
        except UnicodeDecodeError:
            errors = "replace"
            text = data.decode(self._encoding, errors)
        broken: list[Broken] = []
        width = len(self.header)
        named: dict[str, Cells]
        lines: Sequence[int]
        records: list[list[str]]
        if errors == "strict" and (plain := plain_cells(data, text, self._delimiter, width)) is not None:
            named = dict(zip(self.header, plain, strict=True))
            return Rows(range(line, line + len(plain[0])), named, self.dialect["decimal_comma"]), broken
        if '"' not in text:
            records = list(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter))
            lines = range(line, line + len(records))
        else:
            found = list(_records(text, self._delimiter, line, broken))
            records, lines = [row.cells for row in found], [row.line for row in found]
        if (
            errors != "strict"
            or set(map(len, records)) != {width}
            or any(not any(cells) for cells in records)
        ):
            records, lines = self._sound(records, lines, broken, errors)
        columns = [list(map(str.strip, cells)) for cells in zip(*records, strict=True)] or [[]] * width
        named = dict(zip(self.header, columns, strict=True))
        return Rows(lines, named, self.dialect["decimal_comma"]), broken

    def _sound(
        self, records: list[list[str]], lines: Sequence[int], broken: list[Broken], errors: str
    ) -> tuple[list[list[str]], list[int]]:
        """Without blank rows, and without those that cannot be read, which are ``broken``."""
        kept: list[list[str]] = []
        numbers: list[int] = []
        width = len(self.header)
        for cells, line in zip(records, lines, strict=True):
            if not any(map(str.strip, cells)):
                continue
            if errors != "strict" and any("\ufffd" in cell for cell in cells):
                broken.append(Broken(line, cells, _NOT_TEXT.format(self._encoding.upper())))
            elif len(cells) < width or any(map(str.strip, cells[width:])):
                what = f"it has {len(cells)} cells, but the header has {width} columns"
                quoted = f"cells that hold {self._delimiter!r} are quoted"
                broken.append(Broken(line, cells, f"{what}; {quoted}"))
            else:
                kept.append(cells[:width])
                numbers.append(line)
        return kept, numbers


def _records(text: str, delimiter: str, line: int, broken: list[Broken] | None = None) -> Iterator[Row]:
    """Rows with the line in which each begins; what is no CSV is ``broken``, or raises InvalidInput."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        begins = line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if broken is None:
                raise InvalidInput("body", f"line {begins} is not CSV: {error}") from error
            broken.append(Broken(begins, (), f"it is not CSV: {error}"))
            continue
        yield Row(begins, cells)
