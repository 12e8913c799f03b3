"""Files are answered bit for bit as a server answers them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np

from tests.batch.conftest import Batch, daily, table
from tests.e2e.server import ServerProcess

CSV = {"content-type": "text/csv", "accept": "text/csv"}


def answered(server: ServerProcess, body: str, query: str) -> list[dict[str, str]]:
    """What ``POST /forecast`` says of a CSV, by column."""
    with server.client() as client:
        answer = client.post(f"/forecast?{query}", content=body.encode(), headers=CSV)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def without_notes(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The server's CSV has notes only where there are some."""
    return [{name: cell for name, cell in row.items() if name != "note"} for row in rows]


def test_forecasts_are_those_of_the_server(server: ServerProcess, batch: Batch) -> None:
    """Digit for digit, in one part of the file and in many, by one process and by two."""
    text = daily([f"series {number}" for number in range(30)])
    given = batch.write("sales.csv", text)
    wanted = answered(server, text, "horizon=5&levels=80")
    assert len(wanted) == 150
    for place, words in enumerate(((), ("--part-mb", "0.002"), ("--part-mb", "0.003", "--workers", "2"))):
        out = batch.folder / f"{place}.csv"
        assert batch("forecast", given, out, "--horizon", 5, *words) == 0, batch.said
        assert without_notes(table(out)) == wanted


def test_series_of_many_lengths_keep_their_order_and_bits(server: ServerProcess, batch: Batch) -> None:
    """With gaps, constant ones and one beyond the longest run of the engine; horizons drawn as paths too."""
    chance = np.random.default_rng(1)
    lines = ["unique_id,ds,y"]
    for place, num in enumerate([3, 300, 8, 40, 4, 41, 40, 260]):
        for hour in range(num):
            if hour % 7 or place % 2:
                value = 5.0 if place == 3 else round(float(chance.normal(50, 9)), 3)
                lines.append(f"s{place},2024-01-{1 + hour // 24:02d} {hour % 24:02d}:00,{value}")
    text = "\n".join(lines)
    given, out = batch.write("hours.csv", text), batch.folder / "out.csv"
    assert batch("forecast", given, out, "--horizon", 20, "--quantiles", "0.1,0.5", "--seed", 4) == 0, (
        batch.said
    )
    assert without_notes(table(out)) == answered(server, text, "horizon=20&quantiles=0.1,0.5&seed=4")


def test_a_horizon_that_is_left_out_is_the_servers(server: ServerProcess, batch: Batch) -> None:
    """The seasons of the file's first series say how far."""
    text = daily("ab")
    assert batch("forecast", batch.write("a.csv", text), batch.folder / "b.csv") == 0, batch.said
    assert without_notes(table(batch.folder / "b.csv")) == answered(server, text, "levels=80")


def test_texts_get_the_labels_of_the_server(server: ServerProcess, batch: Batch) -> None:
    """Quoted texts of several lines among them, told by file and line."""
    words = [
        "a good film",
        "a bad film!",
        "the plot is thin\nand the end, is dull",
        'truly "good"',
        "good " * 60,
    ]
    texts = [f"{words[place % 5]} {'the end ' * (place % 4)}" for place in range(40)]
    printed = io.StringIO()
    writer = csv.writer(printed, lineterminator="\n")
    writer.writerow(["key", "review"])
    writer.writerows(enumerate(texts))
    given, out = batch.write("reviews.csv", printed.getvalue()), batch.folder / "labels.jsonl"
    assert batch("sentiment", given, out, "--keep", "key", "--part-mb", "0.001") == 0, batch.said
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    with server.client() as client:
        results = client.post("/sentiment", json={"text": [text.strip() for text in texts]}).json()["results"]
    assert [row["key"] for row in rows] == [str(place) for place in range(40)]
    lines = printed.getvalue().splitlines()
    for row, result in zip(rows, results, strict=True):
        assert lines[row["line"] - 1].startswith(f"{row['key']},")
        assert (row["label"], row["score"]) == (result["label"], result["score"])
        assert {name: row[name] for name in result["scores"]} == result["scores"]


def test_sequences_get_the_outputs_of_the_server(server: ServerProcess, batch: Batch) -> None:
    """From JSON lines, with a missing number; at the end and after each step."""
    chance = np.random.default_rng(2)
    sequences = [
        {
            "id": f"M{place}",
            "rows": chance.normal((0.5, 20.0), (0.5, 4.0), (3 + place % 5, 2)).round(3).tolist(),
        }
        for place in range(20)
    ]
    sequences[4]["rows"][1][1] = None
    given = batch.write(
        "readings.jsonl",
        "".join(
            json.dumps({"temperature": row[1], "other": "x", "vibration": row[0], "id": each["id"]}) + "\n"
            for each in sequences
            for row in each["rows"]
        ),
    )
    for read in ("last", "each"):
        out = batch.folder / f"{read}.csv"
        assert batch("sequence", given, out, "--read", read, "--part-mb", "0.001") == 0, batch.said
        with server.client() as client:
            results = client.post("/sequence", json={"sequences": sequences, "read": read}).json()["results"]
        wanted = [
            (result["id"], str(result["length"]), said["state"]["label"], repr(said["next"]))
            for result in results
            for said in (result["steps"] if read == "each" else [result["outputs"]])
        ]
        assert [(row["id"], row["length"], row["state"], row["next"]) for row in table(out)] == wanted


def test_the_model_is_the_one_that_a_server_would_ask(batch: Batch, models: Path) -> None:
    """By name and version; one that is not there is refused with those that are."""
    given = batch.write("a.csv", daily("a"))
    assert batch("forecast", given, batch.folder / "b.csv", "--model", "tiny-series@1", "--horizon", 1) == 0
    assert table(batch.folder / "b.csv")[0]["model"] == "tiny-series@1"
    assert batch("forecast", given, batch.folder / "c.csv", "--model", "tiny-mood") == 2
    assert "no model 'tiny-mood' is served here; available: tiny-series@1" in batch.said
