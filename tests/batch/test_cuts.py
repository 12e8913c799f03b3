"""Wherever a file is cut, its parts have the rows of the whole."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.batch.csv_file import CsvFile
from app.batch.files import InputFile, open_rows
from app.batch.partition import Partition, Plan, read_partition
from app.batch.plain_csv import plain_cells
from app.core.errors import InvalidInput
from app.tasks.batch import Rows

CELL = st.text(st.sampled_from('ab7 ,"\n;é'), max_size=6)
PLAIN = st.text(st.sampled_from("ab7é .-"), max_size=6)


def written(rows: list[list[str]], end: str) -> str:
    """A CSV with a header."""
    printed = io.StringIO()
    writer = csv.writer(printed, lineterminator=end)
    writer.writerow(["key", "first", "second"])
    writer.writerows(rows)
    return printed.getvalue()


def flat(rows: Rows) -> list[tuple[str, ...]]:
    """Line and cells of each row."""
    cells = zip(*(rows.texts(name) for name in rows.columns), strict=True)
    return [(str(line), *row) for line, row in zip(rows.lines, cells, strict=True)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one file, written anew by each example."""
    return tmp_path_factory.mktemp("cuts") / "a.csv"


@settings(max_examples=60)
@given(
    runs=st.lists(st.tuples(st.integers(1, 9), CELL, CELL), min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(150, 400),
)
def test_parts_hold_each_sequence_once_and_whole(
    path: Path, runs: list[tuple[int, str, str]], end: str, size: int
) -> None:
    """Cells with quotes, line ends and delimiters; sequences longer than a part among them."""
    rows = [
        [f"k{place}", f"{first}{at}", second]
        for place, (num, first, second) in enumerate(runs)
        for at in range(num * 3)
    ]
    path.write_bytes(written(rows, end).encode())
    file = InputFile("a.csv", path, "csv", path.stat().st_size, 0)
    dialect = CsvFile(path, 1 << 20, "utf-8").dialect
    whole = open_rows(file, 1 << 20, "utf-8", dialect)
    (all_of_it,) = whole.cuts()
    wanted = flat(whole.read(all_of_it.first, all_of_it.last, all_of_it.line)[0])
    assert [row[1:] for row in wanted] == [tuple(cell.strip() for cell in row) for row in rows]
    found: list[tuple[str, ...]] = []
    for number, cut in enumerate(open_rows(file, size, "utf-8", dialect).cuts()):
        plan = Plan(file, size, "utf-8", dialect, {}, ["key"])
        part, rejects = read_partition(Partition(number, plan, cut))
        assert rejects == []
        found += flat(part)
    assert [row[1:] for row in found] == [row[1:] for row in wanted]
    if not any("\n" in cell for row in rows for cell in row):
        assert found == wanted


@settings(max_examples=200)
@given(
    rows=st.lists(st.lists(PLAIN, min_size=1, max_size=4), min_size=1, max_size=6),
    end=st.sampled_from("\n\r"),
)
def test_plain_cells_are_those_of_the_csv_module(rows: list[list[str]], end: str) -> None:
    """Or it leaves the text to that."""
    end = {"\n": "\n", "\r": "\r\n"}[end]
    text = end.join(",".join(cells) for cells in rows) + end
    read = [[cell.strip() for cell in cells] for cells in csv.reader(io.StringIO(text, newline=""))]
    found = plain_cells(text.encode(), text, ",", len(rows[0]))
    sound = all(len(cells) == len(rows[0]) and any(cells) for cells in read)
    assert (found is not None) == sound
    if found is not None:
        assert [list(cells) for cells in zip(*found, strict=True)] == read


def test_a_quote_that_is_never_closed_does_not_take_the_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused with its line."""
    monkeypatch.setattr("app.batch.cut._LONGEST_RECORD", 20_000)
    path.write_text('a,b\n1,2\n3,"4\n' + "5,6\n" * 20_000)
    with pytest.raises(InvalidInput, match="the record in line 3 does not end within"):
        list(
            CsvFile(
                path, 5_000, "utf-8", {"header": ["a", "b"], "delimiter": ",", "start": 4, "line": 2}
            ).cuts()
        )


def test_nor_does_one_behind_a_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last sequence of the part before is read on."""
    monkeypatch.setattr("app.batch.cut._LONGEST_RECORD", 300_000)
    path.write_text('a,b\n1,2\n3,"4\n' + "5,6\n" * 200_000)
    dialect = {"header": ["a", "b"], "delimiter": ",", "start": 4, "line": 2}
    with pytest.raises(InvalidInput, match="the record in line 3 does not end within"):
        list(CsvFile(path, 8, "utf-8", dialect).following(8, 3))
