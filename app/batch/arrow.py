"""Parquet in and out: the one place that knows pyarrow, which the extra ``batch`` brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from app.batch.cut import Cut
from app.batch.place import readable
from app.batch.row_file import Dialect, Read
from app.core.errors import ConfigurationError, InvalidInput
from app.tasks.batch import Cells, Kind, Rows

_FOLLOWING = 4096
# About as many bytes as a row of a CSV takes.
_ROW_BYTES = 32


def arrow(path: Path) -> Any:
    """pyarrow with its Parquet; raises ConfigurationError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            f"{path.name}: Parquet needs pyarrow, which the extra batch brings; in a checkout: "
            "pip install '.[batch]'. CSV and JSON lines need nothing"
        ) from error
    return pyarrow


_last_group: dict[tuple[str, int, int, int], Any] = {}


class ParquetRows:
    """See :class:`app.batch.row_file.RowFile`; ``size`` as of a CSV, in bytes."""

    def __init__(self, path: Path, size: int, dialect: Dialect | None = None) -> None:
        self._arrow = arrow(path)
        self._path = path
        try:
            self._file = self._arrow.parquet.ParquetFile(readable(path))
        except self._arrow.ArrowInvalid as error:
            raise InvalidInput("body", f"this is no Parquet file: {error}") from error
        self._num = max(1, size // _ROW_BYTES)
        metadata = self._file.metadata
        groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        self._ends = list(accumulate(groups))
        self.header = list(self._file.schema_arrow.names)
        self.dialect: Dialect = {"header": self.header} if dialect is None else dialect
        if not self._ends or not self._ends[-1]:
            raise InvalidInput("body", "the file has no rows")

    @property
    def length(self) -> int:
        return int(self._ends[-1])

    def cuts(self) -> Iterator[Cut]:
        """Row groups, the long ones in several parts."""
        first, total = 0, self._ends[-1]
        for end in self._ends:
            while first < end:
                last = min(first + self._num, end)
                yield Cut(first, last, first + 1, last + 1, first - 1, first, first == 0 and last == total)
                first = last

    def read(self, first: int, last: int, line: int) -> Read:
        tables, begin = [], 0
        for group, end in enumerate(self._ends):
            if begin < last and first < end:
                table = self._group(group)
                tables.append(table.slice(max(first - begin, 0), min(last, end) - max(first, begin)))
            begin = end
        table = self._arrow.concat_tables(tables)
        columns = {name: self._cells(table.column(name)) for name in self.header}
        return Rows(range(line, line + table.num_rows), columns), []

    def following(self, first: int, line: int) -> Iterator[Read]:
        while first < self._ends[-1]:
            last = min(first + _FOLLOWING, self._ends[-1])
            yield self.read(first, last, line)
            first, line = last, line + last - first

    def _group(self, number: int) -> Any:
        """A row group. The last one is kept: the parts of a long one follow each other."""
        stat = self._path.stat()
        key = (str(self._path), stat.st_mtime_ns, stat.st_size, number)
        if key not in _last_group:
            _last_group.clear()
            _last_group[key] = self._file.read_row_group(number)
        return _last_group[key]

    def _cells(self, column: Any) -> Cells:
        types = self._arrow.types
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        if types.is_timestamp(kind) and kind.tz is not None:
            # Parquet keeps the moment alone; the clock on the wall is that of the zone it names.
            moments = column.to_pylist()
            return ["" if moment is None else moment.isoformat() for moment in moments]
        if types.is_timestamp(kind) or types.is_date(kind):
            return np.asarray(column.cast(self._arrow.timestamp("us"), safe=False).to_numpy())
        if types.is_integer(kind) and not column.null_count:
            return np.asarray(column.to_numpy()).astype(np.int64)
        if types.is_floating(kind):
            return np.asarray(column.to_numpy()).astype(np.float64)
        if types.is_decimal(kind):
            return np.asarray(column.cast(self._arrow.float64()).to_numpy())
        coded = column.combine_chunks().dictionary_encode()
        words = ["" if word is None else str(word).strip() for word in coded.dictionary.to_pylist()]
        # What is missing comes behind the others.
        places = coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).tolist()
        return list(map([*words, ""].__getitem__, places))


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> None:
    pyarrow = arrow(path)
    types = {"text": pyarrow.string(), "number": pyarrow.float64(), "whole": pyarrow.int64()}
    arrays = [pyarrow.array(columns[name], types[kind]) for name, kind in kinds.items()]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=list(kinds)), path)


def join_parquet(parts: Sequence[Path], path: Path) -> None:
    """One file of the row groups of several, one of them in memory at a time."""
    pyarrow = arrow(path)
    parquet = pyarrow.parquet
    with parquet.ParquetWriter(path, parquet.read_schema(readable(parts[0]))) as writer:
        for part in parts:
            file = parquet.ParquetFile(readable(part))
            for group in range(file.metadata.num_row_groups):
                writer.write_table(file.read_row_group(group))
