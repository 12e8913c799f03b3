"""Parquet in and out, and what is said where pyarrow is missing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.batch.conftest import Batch, daily, table

EVERY = [f"s{number}" for number in range(12)]


def test_without_pyarrow_the_message_says_what_to_install(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And CSV goes on."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    given = batch.write("a.csv", daily("a"))
    assert batch("forecast", given, batch.folder / "o.parquet", "--horizon", 2) == 2
    assert "o.parquet: Parquet needs pyarrow, which the extra batch brings" in batch.said
    assert "pip install '.[batch]'" in batch.said
    assert batch("forecast", batch.write("a.parquet", "PAR1"), batch.folder / "o.csv") == 2
    assert "a.parquet: Parquet needs pyarrow" in batch.said
    assert batch("forecast", given, batch.folder / "o.csv", "--horizon", 2) == 0, batch.said


def typed(arrow: Any, text: str) -> Any:
    """The table of a CSV with times as such, the ids as a dictionary, the values as float32."""
    header, *rows = (line.split(",") for line in text.splitlines())
    ids, times, values = zip(*rows, strict=True)
    moments = [datetime.fromisoformat(time) for time in times]
    columns = [
        arrow.array(ids).dictionary_encode(),
        arrow.array(moments, arrow.timestamp("us")),
        arrow.array([float(value) for value in values], arrow.float32()),
    ]
    return arrow.table(columns, names=header)


def test_parquet_is_answered_as_the_same_csv(batch: Batch) -> None:
    """In row groups that cut series, in parts that cut row groups; typed columns and texts alike."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    text = daily(EVERY)
    wanted = batch.folder / "wanted.csv"
    assert batch("forecast", batch.write("a.csv", text), wanted, "--horizon", 3) == 0, batch.said
    header, *rows = (line.split(",") for line in text.splitlines())
    texts = arrow.table([arrow.array(cells) for cells in zip(*rows, strict=True)], names=header)
    for name, content in (("typed", typed(arrow, text)), ("texts", texts)):
        given = batch.folder / f"{name}.parquet"
        parquet.write_table(content, given, row_group_size=50)
        for size in ("4", "0.0005"):
            out = batch.folder / f"{name}-{size}.parquet"
            assert batch("forecast", given, out, "--horizon", 3, "--part-mb", size) == 0, batch.said
            found = parquet.read_table(out).to_pylist()
            cells = [
                {column: "" if cell is None else str(cell) for column, cell in row.items()} for row in found
            ]
            assert cells == table(wanted)
            assert isinstance(found[0]["mean"], float)
            assert isinstance(found[0]["step"], int)


def test_a_folder_of_parquet_is_one_table_of_parts(batch: Batch) -> None:
    """As pyarrow reads a folder, without its notes; times in a zone keep the clock of that zone."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    moments = [datetime(2024, 6, 1, hour, tzinfo=UTC) for hour in range(20)]
    for id in "ab":
        given = batch.folder / "in" / f"{id}.parquet"
        given.parent.mkdir(exist_ok=True)
        times = arrow.array(moments, arrow.timestamp("ms", "Europe/Berlin"))
        columns = [arrow.array([id] * 20), times, arrow.array([*range(19), None], arrow.int32())]
        parquet.write_table(arrow.table(columns, names=["unique_id", "ds", "y"]), given)
    out = batch.folder / "out"
    assert batch("forecast", batch.folder / "in", out, "--horizon", 2) == 0, batch.said
    rows = parquet.read_table(out).to_pylist()
    assert [(row["id"], row["timestamp"]) for row in rows] == [
        (id, f"2024-06-01T{hour}:00:00+02:00") for id in "ab" for hour in (22, 23)
    ]


def test_what_is_no_parquet_is_named(batch: Batch) -> None:
    """In one line."""
    pytest.importorskip("pyarrow")
    given = batch.write("a.parquet", "PAR1 nothing of it PAR1")
    assert batch("forecast", given, batch.folder / "o.csv") == 2
    assert batch.said.count("\n") == 1
    assert "a.parquet: this is no Parquet file" in batch.said
