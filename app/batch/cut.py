"""Where a file is cut: parts of about one size, each of whole records, found without parsing them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import InvalidInput

_LONGEST_RECORD = 64 * 2**20
# Of the part before, so much is looked at for the key of its last row: a row that cannot be read has none.
_LOOK_BACK = 2048
_QUOTE, _END = b'"', b"\n"


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a file, in bytes of a text file and in rows of any other.

    Attributes:
        first, last: where it begins and, exclusive, ends.
        line, next_line: of its first row, and of the first one behind it.
        before, before_line: where some last rows of the part before begin, -1 in the first part.
        alone: whether the file has no other part.
    """

    first: int
    last: int
    line: int
    next_line: int
    before: int = -1
    before_line: int = 0
    alone: bool = False


def cuts_of_text(path: Path, start: int, line: int, size: int, *, quoted: bool) -> Iterator[Cut]:
    """Parts of ``size`` bytes or somewhat more, from the byte ``start`` on, which is in the line ``line``.

    A record ends at a line's end, in a CSV (``quoted``) outside of quotes: behind an even number of them.

    Raises:
        InvalidInput: a record is longer than 64 MiB, as where a quote is never closed.
    """
    total = path.stat().st_size
    before, before_line, first, rest = -1, 0, start, b""
    with path.open("rb") as file:
        file.seek(start)
        while more := file.read(size):
            data = rest + more
            end = len(data) if first + len(data) >= total else last_end(data, quoted=quoted)
            if not end:
                if len(data) > _LONGEST_RECORD:
                    raise InvalidInput(
                        "body",
                        f"the record in line {line} does not end within {_LONGEST_RECORD >> 20} MiB; "
                        "is a quote left open there?",
                    )
                rest = data
                continue
            alone = first == start and first + end >= total
            behind = line + data.count(_END, 0, end)
            yield Cut(first, first + end, line, behind, before, before_line, alone)
            back = _looked_back(data, end, quoted=quoted)
            before, before_line = first + back, line + data.count(_END, 0, back)
            first, line, rest = first + end, behind, data[end:]


def last_end(data: bytes, *, quoted: bool) -> int:
    """Behind the last record that ends in ``data``, which begins with one; 0 where none does."""
    return _end_before(data, len(data), quoted=quoted, odd=bool(quoted and data.count(_QUOTE) % 2))


def _end_before(data: bytes, at: int, *, quoted: bool, odd: bool) -> int:
    """As :func:`last_end`, of ``data[:at]``, in which the number of quotes is ``odd`` or not."""
    while (found := data.rfind(_END, 0, at)) >= 0:
        odd ^= bool(quoted and data.count(_QUOTE, found, at) % 2)
        if not odd:
            return found + 1
        at = found
    return 0


def _looked_back(data: bytes, end: int, *, quoted: bool) -> int:
    """Where a record begins that is some way before ``end``, where one begins as well."""
    at = end
    while at and end - at < _LOOK_BACK:
        at = _end_before(data, at - 1, quoted=quoted, odd=False)
    return at
