"""Files as strangers have them: what can be answered is; of the rest one line says what to do."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from tests.batch.conftest import Batch, daily, table


def ids(path: Path) -> list[str]:
    """Of the series answered, in order."""
    return list(dict.fromkeys(row["id"] for row in table(path)))


def test_another_encoding_is_named_or_asked_for(batch: Batch) -> None:
    """Bytes that are no UTF-8 never become other letters."""
    given, out = batch.write("köln.csv", daily(["Köln", "Düren"]), "latin-1"), batch.folder / "o.csv"
    assert batch("forecast", given, out, "--horizon", 2) == 2
    assert batch.said.count("\n") == 1
    assert "köln.csv: line 2: its bytes are not UTF-8; name the encoding with --encoding" in batch.said
    assert batch("forecast", given, out, "--horizon", 2, "--encoding", "latin-1") == 0, batch.said
    assert ids(out) == ["Köln", "Düren"]
    assert batch("forecast", given, batch.folder / "p.csv", "--encoding", "utf-16") == 2
    assert "lines end by one byte" in batch.said


def test_semicolons_commas_and_days_first_are_read(batch: Batch) -> None:
    """Decided once for a file: a part whose days are all below thirteen alone could not tell."""
    lines = ["Filiale;Datum;Umsatz"]
    for shop in ("Süd", "日本", "c d"):
        lines += [
            f"{shop};{day:02d}.{month:02d}.2024;{day},{month}" for month in (1, 2) for day in range(1, 29)
        ]
    plain = batch.write("a.csv", "\r\n".join(lines), "utf-8-sig")
    slashes = batch.write("b.csv", "\r\n".join(lines).replace(".", "/"))
    for given in (plain, slashes):
        out = given.with_suffix(".out.csv")
        words = ("--id", "Filiale", "--horizon", 1, "--freq", "D", "--part-mb", "0.0005")
        assert batch("forecast", given, out, *words) == 0, batch.said
        assert [(row["id"], row["timestamp"]) for row in table(out)] == [
            (shop, "2024-02-29T00:00:00") for shop in ("Süd", "日本", "c d")
        ]


def test_odd_series_are_answered_and_hopeless_ones_told(batch: Batch) -> None:
    """Gaps, constants and rows out of order are fine; one point is not, nor are two values of one time."""
    lines = daily(["gap", "constant", "shuffled", "twice", "word"]).splitlines()
    header, rows = lines[0], [line.split(",") for line in lines[1:]]
    rows = [row for row in rows if row[0] != "gap" or row[1][-2:] not in ("05", "06")]
    for row in rows:
        row[2] = "7" if row[0] == "constant" else row[2]
    of = {id: [row for row in rows if row[0] == id] for id in dict.fromkeys(row[0] for row in rows)}
    random.Random(0).shuffle(of["shuffled"])
    of["twice"].append(of["twice"][3])
    of["word"][5][2] = "sold out"
    of["one"] = [["one", "2024-01-01", "3"]]
    text = "\n".join([header, *(",".join(row) for part in of.values() for row in part), "gap", ""])
    given, out = batch.write("odd.csv", text), batch.folder / "o.csv"
    assert batch("forecast", given, out, "--horizon", 2) == 2
    (line,) = batch.said.strip().splitlines()
    assert line.startswith("rnnserve: odd.csv, line 72, 'twice': lines 75 and 96 are one step of D")
    assert line.endswith("correct the input and run again with --restart")
    assert "--skip-bad" in line
    assert not out.exists()
    assert batch("forecast", given, out, "--horizon", 2, "--skip-bad") == 0, batch.said
    assert "1 part was done before; 4 left out" in batch.said
    assert ids(out) == ["constant", "shuffled"]
    rejects = table(batch.folder / "o.csv.rejects.csv")
    assert {(row["id"], row["line"]) for row in rejects} == {
        ("twice", "72"),
        ("word", "97"),
        ("one", "121"),
        ("gap", "122"),
    }
    reasons = {row["id"]: row["reason"] for row in rejects}
    assert "line 102: 'sold out' is not a number" in reasons["word"]
    assert "needs 2 or more values" in reasons["one"]
    assert "it has 1 cells, but the header has 3 columns" in reasons["gap"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the CSV is empty"),
        ("unique_id,ds,y\n", "the file has a header but no rows"),
        ("1,2,3\n4,5,6\n", "the first line of the CSV must name the columns"),
        ("a,a\n1,2\n", "two columns of the CSV have the same name"),
        ("PK\x03\x04", "a spreadsheet or an archive"),
        ("unique_id,ds,y\na,2024-01-01,1\n", "at least two timestamps are needed"),
        ('unique_id,ds,y\na,"2024-01-01,1\n', "is not CSV"),
    ],
)
def test_a_file_that_is_no_table_is_named(batch: Batch, text: str, said: str) -> None:
    """In one line, and nothing is left behind."""
    given = batch.write("strange.csv", text)
    assert batch("forecast", given, batch.folder / "o.csv") == 2
    assert batch.said.count("\n") == 1
    assert batch.said.startswith("rnnserve: strange.csv: ")
    assert said in batch.said
    assert list(batch.folder.iterdir()) == [given]


def test_a_folder_of_mixed_files_is_one_table(batch: Batch) -> None:
    """CSV, JSON lines and tabs; hidden files are none; a bad file does not lose the others' work."""
    folder = batch.folder / "in"
    batch.write("in/a.csv", daily(["a1", "a2"]))
    batch.write("in/b.tsv", daily(["b"]).replace(",", "\t"))
    batch.write(
        "in/c.jsonl",
        "".join(f'{{"unique_id": 7, "ds": "2024-01-{d:02d}", "y": {d}}}\n' for d in range(1, 20)),
    )
    batch.write("in/d.csv", "")
    batch.write("in/_notes.csv", "nothing")
    out = batch.folder / "out"
    assert batch("forecast", folder, out, "--horizon", 2, "--skip-bad", "--format", "csv") == 0, batch.said
    parts = sorted(path.name for path in out.glob("part-*"))
    assert parts == ["part-00000.csv", "part-00001.csv", "part-00002.csv"]
    assert [id for part in parts for id in ids(out / part)] == ["a1", "a2", "b", "7"]
    assert (out / "_SUCCESS").exists()
    with (out / "_rejects.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["d.csv", "", "", "the CSV is empty"]]
    assert batch("forecast", folder, out, "--horizon", 2, "--skip-bad", "--format", "csv") == 0
    assert "complete already" in batch.said


def test_rows_that_do_not_lie_together_are_gathered_or_refused(batch: Batch) -> None:
    """In one part they may stand in any order; over several the file is to be sorted, and it is said how."""
    header, *rows = daily([f"s{number}" for number in range(8)]).splitlines()
    by_day = sorted(rows, key=lambda row: row.split(",")[1])
    together = batch.write("together.csv", "\n".join([header, *rows]))
    given = batch.write("by_day.csv", "\n".join([header, *by_day]))
    assert batch("forecast", together, batch.folder / "a.csv", "--horizon", 2) == 0, batch.said
    assert batch("forecast", given, batch.folder / "b.csv", "--horizon", 2) == 0, batch.said
    assert (batch.folder / "a.csv").read_text() == (batch.folder / "b.csv").read_text()
    assert batch("forecast", given, batch.folder / "c.csv", "--horizon", 2, "--part-mb", "0.001") == 2
    assert "do not lie together" in batch.said
    assert "sort the file by unique_id" in batch.said
    apart = [*rows[:100], *rows[124:], *rows[100:124]]
    given = batch.write("apart.csv", "\n".join([header, *apart]))
    assert batch("forecast", given, batch.folder / "d.csv", "--horizon", 2, "--part-mb", "0.001") == 2
    assert "apart.csv: rows of 's4' do not lie together" in batch.said
    batch.write("in/1.csv", daily("ab"))
    batch.write("in/2.csv", daily("bc"))
    assert batch("forecast", batch.folder / "in", batch.folder / "e.csv", "--horizon", 2) == 2
    assert "'b' is in 1.csv and in 2.csv" in batch.said


def test_columns_of_texts_and_sequences_are_told_or_asked_for(batch: Batch) -> None:
    """What is missing or ambiguous is said with the columns that there are."""
    given = batch.write("a.csv", "one,two\ngood film,bad film\n")
    assert batch("sentiment", given, batch.folder / "o.csv") == 2
    assert "name the column of texts with --text; allowed: one, two" in batch.said
    assert batch("sentiment", given, batch.folder / "o.csv", "--text", "two") == 0, batch.said
    assert batch("sentiment", given, batch.folder / "p.csv", "--text", "three") == 2
    assert "there is no column 'three'" in batch.said
    given = batch.write("b.csv", "id,vibration,temperature\nx,1,2\nx,,3\ny,1,\n")
    assert batch("sequence", given, batch.folder / "q.csv", "--skip-bad") == 0, batch.said
    assert ids(batch.folder / "q.csv") == ["y"]
    (reject,) = table(batch.folder / "q.csv.rejects.csv")
    assert reject["reason"] == "line 3: the value is missing, and the model takes no missing values here"
    given = batch.write("c.csv", "vibration,temperature\n1,2\n")
    assert batch("sequence", given, batch.folder / "r.csv") == 2
    assert "name the column that tells sequences apart with --id" in batch.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing.csv", "--out", "o.csv"), "cannot read 'nothing.csv'"),
        (("a.csv", "--out", "o.xlsx"), "it must end in one of .csv"),
        (("a.csv", "--out", "/proc/nowhere/o.csv"), "cannot write '/proc/nowhere/o.csv'"),
        (("a.xlsx", "--out", "o.csv"), "is in no format that is read; allowed: .csv"),
        (("a.csv", "--out", "o.csv", "--horizon", "x"), "--horizon: "),
        (("a.csv", "--out", "o.csv", "--horizon", "1000"), "forecasts 1 to 120 steps ahead, not 1000"),
        (("a.csv", "--out", "o.csv", "--levels", "99.9"), "knows quantiles from 0.025 to 0.975"),
        (("a.csv", "--out", "o.csv", "--time", "when"), "the CSV has no column 'when'"),
    ],
)
def test_a_mistake_is_one_line(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    """Never a traceback, and the exit status is 2."""
    monkeypatch.chdir(batch.folder)
    batch.write("a.csv", daily("a"))
    batch.write("a.xlsx", "")
    given, _, out, *more = words
    assert batch("forecast", Path(given), Path(out), *more) == 2
    assert batch.said.count("\n") == 1
    assert batch.said.startswith("rnnserve: ")
    assert said in batch.said


def test_times_keep_the_offset_they_are_written_with(batch: Batch) -> None:
    """Two series that begin at one moment in two zones are two clocks."""
    lines = ["unique_id,ds,y"]
    for id, first, offset in (("a", 1, "+00:00"), ("b", 6, "+05:00"), ("c", 1, "+00:00")):
        lines += [f"{id},2024-01-01T{first + hour:02d}:00{offset},{hour % 5 + 1}" for hour in range(17)]
    given, out = batch.write("zones.csv", "\n".join(lines)), batch.folder / "o.csv"
    assert batch("forecast", given, out, "--horizon", 1) == 0, batch.said
    assert [row["timestamp"] for row in table(out)] == [
        "2024-01-01T18:00:00+00:00",
        "2024-01-01T23:00:00+05:00",
        "2024-01-01T18:00:00+00:00",
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_row_may_be_longer_than_a_part(batch: Batch, suffix: str) -> None:
    """Also the first one, which tells what the file is."""
    texts = ["a good film, " * 50, "dull", "truly " * 90]
    csv_text = "\n".join(["stars,review", *(f'5,"{text}"' for text in texts), ""])
    lines = "".join(json.dumps({"stars": 5, "review": text}) + "\n" for text in texts)
    given = batch.write(f"long.{suffix}", csv_text if suffix == "csv" else lines)
    out = batch.folder / "o.csv"
    words = ("--text", "review", "--part-mb", "0.0001")
    assert batch("sentiment", given, out, *words) == 0, batch.said
    first = 2 if suffix == "csv" else 1
    assert [row["line"] for row in table(out)] == [str(first + number) for number in range(3)]
