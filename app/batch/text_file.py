"""A text file of rows in parts, of whole records each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from app.batch.cut import Cut, cuts_of_text
from app.batch.row_file import Dialect, Read

_FOLLOWING = 256 * 1024


class TextFile(ABC):
    """See :class:`app.batch.row_file.RowFile`.

    Args:
        size: bytes of a part.
        dialect: found by another one of the same file.

    Attributes:
        quoted: whether a record goes on behind a line's end that stands in quotes.
        start, line: of the first record, in bytes and counted from 1.

    Raises:
        InvalidInput: it is not what its name says, or holds nothing.
        OSError: it cannot be read.
    """

    quoted: ClassVar[bool]

    def __init__(self, path: Path, size: int, dialect: Dialect | None) -> None:
        self._path = path
        self._size = size
        self.dialect = self._found_out() if dialect is None else dialect
        self.header: list[str] = self.dialect["header"]
        self.start: int = self.dialect.get("start", 0)
        self.line: int = self.dialect.get("line", 1)

    @property
    def length(self) -> int:
        return self._path.stat().st_size

    def cuts(self) -> Iterator[Cut]:
        return cuts_of_text(self._path, self.start, self.line, self._size, quoted=self.quoted)

    def read(self, first: int, last: int, line: int) -> Read:
        return self._parsed(self._bytes(first, last), line)

    def following(self, first: int, line: int) -> Iterator[Read]:
        for cut in cuts_of_text(self._path, first, line, _FOLLOWING, quoted=self.quoted):
            yield self.read(cut.first, cut.last, cut.line)

    def _first_part(self, start: int = 0) -> bytes:
        cut = next(cuts_of_text(self._path, start, 1, self._size, quoted=self.quoted), None)
        return b"" if cut is None else self._bytes(cut.first, cut.last)

    def _bytes(self, first: int, last: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(first)
            return file.read(last - first)

    @abstractmethod
    def _found_out(self) -> Dialect: ...

    @abstractmethod
    def _parsed(self, data: bytes, line: int) -> Read:
        """Whole records, the first of which is in the line ``line``."""
