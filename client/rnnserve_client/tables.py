"""Tables in and out: CSV files, and what pandas has, where it is installed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

if TYPE_CHECKING:
    import pandas

CSV_TYPE = "text/csv"
_TIME = "time"


class Frame(Protocol):
    """A series or data frame of pandas, whose types need not be installed."""

    @property
    def index(self) -> Any: ...

    def to_csv(self) -> Any: ...


Table = os.PathLike[str] | Frame


def is_table(value: object) -> TypeGuard[Table]:
    """Whether it is a path, a series or a data frame."""
    if isinstance(value, os.PathLike):
        return True
    loaded = sys.modules.get("pandas")
    return loaded is not None and isinstance(value, loaded.Series | loaded.DataFrame)


async def csv_of(table: Table) -> bytes:
    """A file as it is; a series or data frame with its times, if its index has any, in front.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(table, os.PathLike):
        return await asyncio.to_thread(Path(table).read_bytes)
    return await asyncio.to_thread(_written, table)


def query_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a request as a query: lists by commas, nothing for ``None``."""
    return {name: _text(value) for name, value in fields.items() if value is not None}


def to_pandas(answer: Mapping[str, Any]) -> pandas.DataFrame:
    """The results of an answer as a table, whichever task it is of.

    The answer's list of objects gives the rows. An object in a row becomes columns (``scores.good``), and
    lists of one length become a row for each element, with ``step`` counted from 1. ``timestamps`` become
    times, in UTC where their offsets differ.

    Raises:
        ValueError: the answer has no list of objects, or several.
        ImportError: pandas is not installed.
    """
    import pandas

    lists = [value for value in answer.values() if isinstance(value, list)]
    if len(lists) != 1 or not all(isinstance(row, dict) for row in lists[0]):
        raise ValueError(f"an answer with one list of results is needed, not one with {', '.join(answer)}")
    frame = pandas.DataFrame([row for result in lists[0] for row in _rows(_flat(result))])
    if "timestamps" in frame:
        offsets = {datetime.fromisoformat(time).utcoffset() for time in frame["timestamps"].dropna()}
        frame["timestamps"] = pandas.to_datetime(frame["timestamps"], utc=len(offsets) > 1)
    return frame


def _flat(result: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {name: value for name, value in result.items() if isinstance(value, list)}
    lengths = {len(value) for value in lists.values()}
    if len(lengths) != 1:
        return [result]
    (length,) = lengths
    return [
        _flat(result | {name: value[place] for name, value in lists.items()}) | {"step": place + 1}
        for place in range(length)
    ]


def _written(table: Any) -> bytes:
    import pandas

    frame = table.to_frame(table.name or "value") if isinstance(table, pandas.Series) else table
    index = frame.index
    if isinstance(index, pandas.MultiIndex):
        # Such as series and time: the server tells by the names, or by the fields `id` and `time`.
        return str(frame.reset_index().to_csv(index=False)).encode()
    if isinstance(index, pandas.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pandas.DatetimeIndex):
        return str(frame.to_csv(index=False)).encode()
    label = index.name or _TIME
    while label in frame.columns:
        label = f"{label}_"
    return str(frame.set_index(index.rename(label)).to_csv()).encode()


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else ",".join(map(str, value))
