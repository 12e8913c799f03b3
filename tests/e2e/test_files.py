"""Files of strangers through a real server and the shell: read, forecast, judged, and written as tables."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from app import cli as command
from app.cli import cli
from tests.conftest import REPOSITORY, SHIPPED
from tests.e2e.server import ServerProcess

AIRLINE = REPOSITORY / "examples/airline-passengers.csv"
CSV = {"content-type": "text/csv"}
TILL = "Filiale;Datum;Umsatz\n" + "".join(
    f"{shop};{day}.02.2024;1.2{day},5\n" for day in range(28, 10, -1) for shop in ("Köln", "Bonn")
)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """With the shipped bundles."""
    with ServerProcess(SHIPPED, load="on-demand") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx2.Client]:
    """Of that server."""
    with server.client() as client:
        yield client


def table(text: str) -> list[dict[str, str]]:
    """The rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text)))


def test_a_forecast_is_a_table_for_who_prefers_one(client: httpx2.Client) -> None:
    """The numbers of the JSON answer, with what was used in each row."""
    asked: dict[str, Any] = {"content": TILL.encode(), "params": {"horizon": 3, "levels": "80"}}
    plain = client.post("/forecast", **asked, headers=CSV).json()
    answer = client.post("/forecast", **asked, headers=CSV | {"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "server-timing" in answer.headers
    rows = table(answer.text)
    assert list(rows[0])[:6] == ["id", "step", "timestamp", "mean", "0.1", "0.9"]
    for each in plain["forecasts"]:
        own = [row for row in rows if row["id"] == each["id"]]
        assert [row["step"] for row in own] == ["1", "2", "3"]
        assert [row["timestamp"] for row in own] == each["timestamps"]
        assert [float(row["mean"]) for row in own] == each["mean"]
        assert [float(row["0.9"]) for row in own] == each["quantiles"]["0.9"]
        assert {(row["freq"], row["season"], row["model"]) for row in own} == {("D", "7", plain["model"])}


@pytest.mark.parametrize(
    ("accept", "is_table"),
    [
        ("text/csv", True),
        ("text/csv, */*;q=0.1", True),
        ("application/json;q=0.5, TEXT/CSV", True),
        ("text/csv;q=0.2, application/json", False),
        ("text/csv;q=0", False),
        ("*/*", False),
        ("application/json, text/csv", False),
        ("text/html", False),
        ("text/csv;q=x", True),
    ],
)
def test_the_answer_is_what_accept_prefers(client: httpx2.Client, accept: str, is_table: bool) -> None:
    """And JSON where it leaves the choice, or wants what there is not."""
    body = {"values": [1.0, 2.0, 3.0], "horizon": 2}
    answer = client.post("/forecast", json=body, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv") is is_table
    wrong = client.post("/forecast", json={"values": []}, headers={"accept": accept})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")


def test_what_was_done_to_read_a_file_is_said(client: httpx2.Client) -> None:
    """In JSON by series and column, in a table in each row of the series."""
    text = "time,load,remark\n" + "".join(
        f"2024-01-01 00:{5 * n:02d}:0{n % 4},{n},{'ok' if n % 2 else 'late'}\n" for n in range(12)
    )
    for headers in (CSV, CSV | {"accept": "text/csv"}):
        answer = client.post("/forecast?horizon=2", content=text, headers=headers)
        if headers == CSV:
            notes = answer.json()["notes"]
            assert list(notes) == ["remark", "load"]
            assert notes["load"].startswith("times lie up to 3 s off their 5min steps")
        else:
            assert {row["note"] for row in table(answer.text)} == {notes["load"]}
    assert "notes" not in client.post("/forecast?horizon=2", content=TILL.encode(), headers=CSV).json()


def test_a_table_is_given_back_as_it_was_read(client: httpx2.Client) -> None:
    """Values on their grid, which columns were which, from both content types; mistakes with their line."""
    answer = client.post("/forecast/series", content=TILL.encode(), headers=CSV).json()
    assert (answer["time"], answer["ids"], answer["targets"]) == ("Datum", ["Filiale"], ["Umsatz"])
    assert (answer["freq"], answer["season"], answer["notes"]) == ("D", 7, {})
    first = answer["series"][0]
    assert first["id"] == "Köln"
    assert first["values"] == [
        12_000 + day * 10 + 0.5 if False else float(f"12{day}.5") for day in range(11, 29)
    ]
    assert first["timestamps"][0] == "2024-02-11T00:00:00"
    assert client.post("/forecast/series", json={"csv": TILL}).json() == answer
    gap = client.post(
        "/forecast/series", json={"csv": "day,a\n2024-01-01,1\n2024-01-02,2\n2024-01-04,3\n"}
    ).json()
    assert gap["series"][0]["values"] == [1, 2, None, 3]
    wrong = client.post("/forecast/series", content=b"day,a\n2024-01-01,x\n2024-01-02,2\n", headers=CSV)
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "a"
    assert "line 2: 'x' is not a number" in wrong.json()["detail"]


HOURS = [20 + 10 * (hour % 24 > 7) + hour % 5 + random.Random(hour).random() for hour in range(24 * 20)]


def test_a_spike_is_an_event_and_the_rest_is_calm(client: httpx2.Client) -> None:
    """With where and what it was; a gap is no event, and nothing is said of the first values."""
    values: list[float | None] = [*HOURS]
    values[300], values[310] = 400.0, None
    body = {"values": values, "freq": "h", "start": "2024-03-01", "false_alarms": 0.0001, "level": 90}
    (series,) = client.post("/anomalies", json=body).json()["series"]
    event = series["events"][0]
    assert (event["first"], event["peak"], event["value"]) == (300, 300, 400.0)
    assert event["start"] == "2024-03-13T12:00:00"
    assert event["score"] == 8
    assert event["probability"] < 1e-6
    assert event["expected"] == series["expected"][300]
    assert all(each["first"] >= 300 for each in series["events"])
    assert series["scores"][:8] == [None] * 8
    assert series["scores"][310] is series["probabilities"][310] is None
    lists = ("timestamps", "values", "expected", "low", "high", "scores", "probabilities")
    assert {len(series[name]) for name in lists} == {len(values)}
    known = [
        (low, value, high) for low, value, high in zip(series["low"], values, series["high"], strict=True)
    ]
    inside = [low <= value <= high for low, value, high in known[200:300] if value is not None]
    assert 0.7 < sum(inside) / len(inside) <= 1


def test_scores_are_those_of_a_session(client: httpx2.Client) -> None:
    """The same network, step by step or in one pass that is cut into parts; a series beside others too."""
    values = [100 + 10 * math.sin(step / 4) + random.Random(step).gauss(0, 2) for step in range(5000)]
    alone = client.post("/anomalies", json={"values": values, "freq": "h"}).json()["series"][0]
    both = {"series": [{"values": values}, {"values": values[:50]}, {"values": values[::-1]}], "freq": "h"}
    beside = client.post("/anomalies", json=both).json()["series"]
    assert beside[0] == alone
    short = client.post("/anomalies", json={"values": values[:50], "freq": "h"}).json()["series"][0]
    assert beside[1]["scores"] == short["scores"] == alone["scores"][:50]
    id = client.post("/sessions", json={"task": "forecast", "options": {"freq": "h"}}).json()["id"]
    outputs = client.post(f"/sessions/{id}/steps", json={"inputs": values[:300]}).json()["outputs"]
    scores = [output["anomaly_score"] for output in outputs]
    for ours, theirs in list(zip(alone["scores"], scores, strict=False))[8:]:
        assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize(
    ("values", "most"),
    [
        ([5.0] * 80, 0),
        ([0.0] * 80, 0),
        ([float(k) for k in range(200)], 0),
        ([1e12 + k % 7 * 1e9 for k in range(200)], 1),
        ([1e-9 * (k % 7) for k in range(200)], 1),
        ([float(k % 2) for k in range(200)], 0),
        ([None, 3.0, None, 4.0], 0),
    ],
)
def test_plain_series_have_hardly_an_event(
    client: httpx2.Client, values: list[float | None], most: int
) -> None:
    """Constant, straight, huge, tiny, alternating, hardly there; a season may surprise when it returns."""
    answer = client.post("/anomalies", json={"values": values})
    assert answer.status_code == 200, answer.text
    events = answer.json()["series"][0]["events"]
    assert len(events) <= most
    assert all(event["last"] < 20 for event in events)


def test_a_jump_out_of_a_constant_is_an_event(client: httpx2.Client) -> None:
    """Of any size: nothing was expected but the same."""
    for jump in (5.1, 9.0, 1e6):
        values = [5.0] * 60 + [jump] + [5.0] * 20
        (event,) = client.post("/anomalies", json={"values": values}).json()["series"][0]["events"]
        assert (event["peak"], event["value"]) == (60, jump)


def test_anomalies_of_a_file_are_a_table(client: httpx2.Client) -> None:
    """Alarms near each other have one number."""
    rows = [
        f"2024-03-{1 + hour // 24:02d} {hour % 24:02d}:00;{value:.2f}".replace(".", ",")
        for hour, value in enumerate(HOURS)
    ]
    rows[300] = rows[300].split(";")[0] + ";400"
    rows[305] = rows[305].split(";")[0] + ";900"
    answer = client.post(
        "/anomalies?false_alarms=1e-4&gap=8",
        content="hour;load\n" + "\n".join(rows),
        headers=CSV | {"accept": "text/csv"},
    )
    found = table(answer.text)
    assert list(found[0]) == [
        *("id", "step", "timestamp", "value", "expected", "low", "high", "score", "probability", "event")
    ]
    numbered = [row for row in found if row["event"] == "1"]
    assert (numbered[0]["step"], numbered[0]["value"], numbered[0]["timestamp"]) == (
        "300",
        "400.0",
        "2024-03-13T12:00:00",
    )
    assert int(numbered[-1]["step"]) >= 305


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"values": [1.0, 2.0], "false_alarms": 0.5}, "false_alarms", "less than or equal to 0.1"),
        ({"values": [1.0, 2.0], "false_alarms": 0}, "false_alarms", "greater than 0"),
        ({"values": [1.0, 2.0], "level": 99.9}, "level", "knows intervals up to"),
        ({"values": [1.0, 2.0], "gap": -1}, "gap", "greater than or equal to 0"),
        ({"values": [1.0]}, "values", "2 or more values"),
        ({}, "values", "give either values"),
        ({"values": [1.0, 2.0], "horizon": 3}, "horizon", "unknown field"),
        ({"values": [1.0, 2.0], "start": "2024-01-01"}, "freq", "start needs freq"),
    ],
)
def test_mistakes_in_what_is_asked_of_anomalies_are_named(
    client: httpx2.Client, body: dict[str, Any], field: str, message: str
) -> None:
    """With what is allowed."""
    answer = client.post("/anomalies", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert message in error["message"]


def run(*words: str | Path, data: bytes | None = None) -> tuple[int, str]:
    """``rnnserve`` with these words, in this process: its exit code, and all that it printed."""
    result = CliRunner().invoke(cli, [str(word) for word in words], input=data)
    return result.exit_code, result.output


def test_a_file_is_forecast_from_a_shell(
    server: ServerProcess, client: httpx2.Client, tmp_path: Path
) -> None:
    """By models in this process and by a server alike; the CSV is the API's, and the picture is one."""
    asked = client.post(
        "/forecast?horizon=6&levels=80",
        content=AIRLINE.read_bytes(),
        headers=CSV | {"accept": "text/csv"},
    )
    (tmp_path / "till.csv").write_bytes(TILL.encode("utf-16"))
    for where in (("--models", SHIPPED), ("--url", server.url)):
        out, plot = tmp_path / f"{where[0][2:]}.csv", tmp_path / f"{where[0][2:]}.svg"
        code, said = run("forecast", AIRLINE, "--horizon", "6", *where, "--out", out, "--plot", plot)
        assert code == 0, said
        header, *rows = said.splitlines()
        assert header.split()[:5] == ["id", "timestamp", "mean", "0.1", "0.9"]
        assert rows[0].split()[:2] == ["passengers", "1960-01-01"]
        assert len(rows) == 6
        assert out.read_text() == asked.text
        assert plot.read_text().count("<svg") == 1
        code, said = run("forecast", tmp_path / "till.csv", "--horizon", "2", *where)
        assert (code, len(said.splitlines())) == (0, 5)


def test_many_series_go_in_parts(server: ServerProcess, tmp_path: Path) -> None:
    """More than one request holds; each has its own forecast, in the order of the file."""
    rows = [f"s{number},2024-01-0{day},{number + day}" for number in range(300) for day in range(1, 5)]
    file, out, plot = (tmp_path / name for name in ("many.csv", "out.csv", "a.png"))
    file.write_text("unique_id,ds,y\n" + "\n".join(rows))
    code, said = run(
        "forecast", file, "--horizon", "2", "--url", server.url, "--out", out, "--plot", tmp_path / "a.png"
    )
    assert code == 0, said
    assert [row["id"] for row in table(out.read_text())][::2] == [f"s{number}" for number in range(300)]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_server_that_refuses_is_quoted(
    server: ServerProcess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its own words."""
    words = ["rnnserve", "forecast", str(AIRLINE), "--horizon", "100000", "--url", server.url]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        command.main()
    assert "steps ahead, not 100000" in capfd.readouterr().err


def test_json_stays_json(client: httpx2.Client) -> None:
    """A forecast's bytes are what they were, whether or not a table could have been asked for."""
    body = json.dumps({"values": HOURS[:100], "freq": "h", "horizon": 3}).encode()
    plain = client.post("/forecast", content=body).content
    assert client.post("/forecast", content=body, headers={"accept": "application/json"}).content == plain
    assert np.isfinite(json.loads(plain)["forecasts"][0]["mean"]).all()
