"""A file of rows, of whatever format, as batch work reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from app.batch.cut import Cut
from app.batch.place import reason
from app.core.errors import ConfigurationError, InvalidInput
from app.tasks.batch import Rows

TEXT_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SUFFIXES = TEXT_SUFFIXES | {".parquet": "parquet", ".pq": "parquet"}


TELLING_ROWS = 10_000
"""So many first rows decide for a file what its columns mean."""


class Broken(NamedTuple):
    """A row that cannot be read: its line, as many of its cells as there are, and why."""

    line: int
    cells: Sequence[str]
    reason: str


Read = tuple[Rows, list[Broken]]
Dialect = dict[str, Any]
"""What was found out of a file from its first part, as JSON, so that other processes read it alike."""


class RowFile(Protocol):
    """``header`` names the columns; ``dialect`` is what :func:`app.batch.files.open_rows` takes elsewhere."""

    header: list[str]
    dialect: Dialect

    @property
    def length(self) -> int:
        """In the unit of its cuts."""

    def cuts(self) -> Iterator[Cut]:
        """Its parts, in order, found without reading what is in them; raises InvalidInput."""

    def read(self, first: int, last: int, line: int) -> Read:
        """The rows of a part, the first of which is in the line ``line``."""

    def following(self, first: int, line: int) -> Iterator[Read]:
        """The rows from there on, some at a time."""


def unreadable(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"cannot read {str(path)!r}: {reason(error)}")


def in_file(name: str, error: InvalidInput) -> InvalidInput:
    """The same, with the file's name and what is allowed in its sentence."""
    known = f"; allowed: {', '.join(map(str, error.allowed))}" if isinstance(error.allowed, list) else ""
    return InvalidInput(error.field, f"{name}: {error.message}{known}", allowed=error.allowed)
