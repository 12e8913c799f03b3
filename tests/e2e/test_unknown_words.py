"""Texts that the shipped classifier hardly knows have a warning, however they come; others have none."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import SHIPPED
from tests.e2e.forked import completed
from tests.e2e.server import REPOSITORY, ServerProcess

GERMAN = "Das ist ein sehr schöner Film, den man gesehen haben muss."
ENGLISH = "A warm, funny and utterly charming film."
STRANGE = [GERMAN, "これは素晴らしい映画です。", "qwzrt plmk vbnx asdfg", "\U0001f9ff\U0001f9ff"]
PLAIN = [ENGLISH, "not good", "Spielberg's Zamunda is a delight", "Schwarzenegger again!"]


@pytest.fixture(scope="module")
def shipped() -> Iterator[ServerProcess]:
    """A server with the shipped bundles."""
    with ServerProcess(SHIPPED, load="on-demand") as process:
        yield process


@pytest.fixture
def http(shipped: ServerProcess) -> Iterator[httpx2.Client]:
    """A client of it."""
    with shipped.client() as client:
        yield client


def labelled(http: httpx2.Client, text: str | list[str]) -> list[dict[str, Any]]:
    """The results of the native request."""
    found: list[dict[str, Any]] = http.post("/sentiment", json={"text": text}).json()["results"]
    return found


def fed(http: httpx2.Client, id: str, inputs: list[Any]) -> list[dict[str, Any]]:
    """The outputs of a new session that is fed these inputs, one by one."""
    assert http.post("/sessions", json={"id": id, "task": "sentiment"}).status_code == 201
    outputs: list[dict[str, Any]] = []
    for one in inputs:
        outputs += http.post(f"/sessions/{id}/steps", json={"inputs": one}).json()["outputs"]
    return outputs


def test_other_languages_and_gibberish_have_a_warning(http: httpx2.Client) -> None:
    """It says how many tokens the model knows; a known text in the same request has none."""
    *strange, plain = labelled(http, [*STRANGE, ENGLISH])
    assert all("the model knows " in result["warning"] for result in strange)
    assert strange[0]["warning"].startswith("the model knows 6 of 13 tokens")
    assert plain == labelled(http, ENGLISH)[0]
    assert set(plain) == {"label", "score", "scores", "trace"}


@pytest.mark.parametrize("text", PLAIN)
def test_english_has_none(http: httpx2.Client, text: str) -> None:
    """A name that no review has is no reason."""
    (result,) = labelled(http, text)
    assert "warning" not in result


def test_a_session_warns_of_all_that_it_has_read(http: httpx2.Client) -> None:
    """Word by word or at once, and after a rewind; the last warning is that of the whole text."""
    words = GERMAN.replace(",", " ,").replace(".", " .").split()
    outputs = fed(http, "by-word", words)
    assert outputs == fed(http, "at-once", [GERMAN])
    assert outputs[-1]["warning"] == labelled(http, GERMAN)[0]["warning"]
    assert "warning" not in outputs[0], "'das' is the name of a film"
    assert http.post("/sessions/by-word/rewind", json={"to": 0}).status_code == 200
    again = http.post("/sessions/by-word/steps", json={"inputs": words[0]}).json()["outputs"]
    assert again == outputs[:1], "what was unknown before the rewind is forgotten"
    assert not any("warning" in output for output in fed(http, "plain", [ENGLISH]))


def test_the_open_inference_protocol_gives_warnings_when_asked(http: httpx2.Client) -> None:
    """Empty where there is none; a request that names no outputs gets those it got before."""
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [GERMAN, ENGLISH]}
    body: dict[str, Any] = {"inputs": [tensor]}
    plain = http.post("/v2/models/sentiment/infer", json=body).json()
    assert [output["name"] for output in plain["outputs"]] == ["label", "score", "scores"]
    asked = http.post("/v2/models/sentiment/infer", json=body | {"outputs": [{"name": "warning"}]}).json()
    (output,) = asked["outputs"]
    assert output["data"] == [labelled(http, GERMAN)[0]["warning"], ""]


def test_batch_work_has_a_column_of_warnings_when_asked(shipped: ServerProcess, tmp_path: Path) -> None:
    """Those of the server, in CSV and in JSON lines."""
    given = tmp_path / "reviews.csv"
    with given.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["review"], [GERMAN], [ENGLISH]])
    with shipped.client() as client:
        expected = labelled(client, GERMAN)[0]["warning"]
    for name in ("out.csv", "out.jsonl"):
        words = ["batch", "sentiment", given, "--out", tmp_path / name, "--models", SHIPPED]
        completed([*map(str, words), "--warnings"], os.environ, REPOSITORY).check_returncode()
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        assert [row["warning"] for row in csv.DictReader(file)] == [expected, ""]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["warning"] for line in lines] == [expected, None]
