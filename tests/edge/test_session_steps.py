"""Steps of sessions, what is asked of their states, and states that the client carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.bundles import HORIZON
from tests.edge.session_app import PROBLEM, asking, opened


@pytest.fixture(scope="module")
def client(tiny_models: Path) -> Iterator[TestClient]:
    """Of one application for all tests that only ask."""
    with asking(tiny_models, session_max_batch_calls=50) as client:
        yield client


def test_steps_are_applied_once_and_told_again(client: TestClient) -> None:
    """The same seq and inputs get the stored answer, byte for byte, and change nothing."""
    path = f"/sessions/{opened(client)}/steps"
    first = client.post(path, json={"seq": 1, "inputs": [1, 2, None]})
    assert (first.json()["seq"], first.json()["step"], len(first.json()["outputs"])) == (1, 3, 3)
    assert client.post(path, json={"seq": 1, "inputs": [1, 2, None]}).content == first.content
    assert client.post(path, json={"seq": 4, "inputs": 4.5}).json()["step"] == 4


def test_another_seq_is_a_conflict_that_says_what_is_held(client: TestClient) -> None:
    """409, with the last applied step and the number that is due as members of the problem."""
    path = f"/sessions/{opened(client)}/steps"
    client.post(path, json={"seq": 1, "inputs": [1, 2]})
    for seq, inputs in ((2, 1), (9, 1), (1, [1, 3])):
        answer = client.post(path, json={"seq": seq, "inputs": inputs})
        assert answer.status_code == 409
        problem = answer.json()
        assert problem["type"] == PROBLEM + "sequence-conflict"
        assert (problem["step"], problem["expected"]) == (2, 3)


def test_many_sessions_go_in_one_request_and_one_failing_fails_no_other(client: TestClient) -> None:
    """Each has its answer or its problem, in the order of the calls."""
    good, text = opened(client), opened(client, task="sentiment")
    calls: list[dict[str, Any]] = [
        {"id": good, "seq": 1, "inputs": 1},
        {"id": "nobody", "seq": 1, "inputs": 1},
        {"id": text, "inputs": "a good film"},
        {"id": good, "seq": 2, "inputs": "x"},
        {"id": "no/id", "inputs": 1},
        {"id": good, "seq": 2, "inputs": 2},
    ]
    results = client.post("/sessions/steps", json={"steps": calls}).json()["results"]
    assert [one["id"] for one in results] == [one["id"] for one in calls]
    assert [one.get("error", {}).get("status") for one in results] == [None, 404, None, 422, 404, None]
    assert [one.get("step") for one in results] == [1, None, 3, None, None, 2]
    assert [one.get("seq") for one in results] == [1, 1, 1, 2, None, 2]
    assert {one["label"] for one in results[2]["outputs"]} <= {"negative", "positive"}


def test_without_seq_what_follows_a_failure_in_the_batch_is_not_applied(client: TestClient) -> None:
    """Nothing says that it still belongs there; with seq the server can tell."""
    id = opened(client)
    calls = [{"id": id, "inputs": value} for value in (1, "x", 3)]
    results = client.post("/sessions/steps", json={"steps": calls}).json()["results"]
    assert [one.get("error", {}).get("status") for one in results] == [None, 422, 422]
    assert client.get(f"/sessions/{id}").json()["step"] == 1


def test_a_batch_has_a_limit(client: TestClient) -> None:
    """As many calls as the setting says."""
    calls = [{"id": "a", "inputs": 1}] * 51
    answer = client.post("/sessions/steps", json={"steps": calls})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["allowed"] == {"max": 50}


def test_a_state_is_downloaded_and_opens_a_session(client: TestClient) -> None:
    """The new session goes on where the other was."""
    id = opened(client)
    client.post(f"/sessions/{id}/steps", json={"inputs": [1, 2, 3]})
    state = client.get(f"/sessions/{id}/state").json()
    assert (state["model"], state["step"]) == ("tiny-series-lstm@1", 3)
    other = client.post("/sessions", json={"state": state["state"]}).json()
    assert other["step"] == 3
    step = {"seq": 4, "inputs": 4}
    answers = [client.post(f"/sessions/{one}/steps", json=step).content for one in (id, other["id"])]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_state_is_refused(client: TestClient, damage: str) -> None:
    """422, before anything in it is believed."""
    state = client.get(f"/sessions/{opened(client)}/state").json()["state"]
    bad = {"cut": state[:-8], "flipped": state[:40] + "A" + state[41:], "foreign": "x" + state}[damage]
    for path, body in (("/sessions", {}), ("/steps", {"inputs": 1})):
        answer = client.post(path, json={"state": bad} | body)
        assert answer.status_code == 422
        assert answer.json()["type"] == PROBLEM + "invalid-state"


def test_a_client_may_carry_its_state(client: TestClient) -> None:
    """The outputs are those of a session, and nothing is stored."""
    id = opened(client)
    session = [client.post(f"/sessions/{id}/steps", json={"inputs": one}).json() for one in ([1, 2], 3)]
    before = client.get("/sessions", params={"limit": 1000}).json()
    first = client.post("/steps", json={"task": "forecast", "inputs": [1, 2]}).json()
    second = client.post("/steps", json={"state": first["state"], "inputs": 3}).json()
    assert [first["outputs"], second["outputs"]] == [one["outputs"] for one in session]
    assert (first["step"], second["step"]) == (2, 3)
    assert client.get("/sessions", params={"limit": 1000}).json() == before


def test_a_forecast_from_a_session_is_that_of_its_series(client: TestClient) -> None:
    """As if the whole series had been sent."""
    values = [112.0, 118, 132, 129, 121, 135]
    id = opened(client, options={"freq": "D", "start": "2024-01-01"})
    early = client.post(f"/sessions/{id}/forecast", json={"horizon": 1})
    assert early.status_code == 422
    client.post(f"/sessions/{id}/steps", json={"inputs": values})
    answer = client.post(f"/sessions/{id}/forecast", json={"horizon": HORIZON}).json()
    body = {"values": values, "freq": "D", "start": "2024-01-01", "horizon": HORIZON}
    (whole,) = client.post("/forecast", json=body).json()["forecasts"]
    assert answer["step"] == 6
    assert {key: answer["forecast"][key] for key in ("timestamps", "mean", "quantiles")} == {
        key: whole[key] for key in ("timestamps", "mean", "quantiles")
    }


def test_text_from_a_session_is_kept_only_when_asked(client: TestClient) -> None:
    """With advance the prompt and the text become steps, exactly once."""
    id = opened(client, task="generate")
    path = f"/sessions/{id}/generate"
    request = {"prompt": "abc", "max_tokens": 6, "seed": 3}
    loose = client.post(path, json=request).json()
    assert (loose["step"], client.get(f"/sessions/{id}").json()["step"]) == (0, 0)
    kept = client.post(path, json=request | {"advance": True, "seq": 1})
    assert kept.json()["choices"] == loose["choices"]
    assert kept.json()["step"] == 9
    assert client.post(path, json=request | {"advance": True, "seq": 1}).content == kept.content
    assert client.post(path, json=request | {"advance": True, "seq": 3}).status_code == 409


def test_a_streamed_text_that_advanced_can_be_asked_for_again(client: TestClient) -> None:
    """The stored answer is the whole text, though it went out as events."""
    id = opened(client, task="generate")
    path = f"/sessions/{id}/generate"
    request = {"prompt": "abc", "max_tokens": 6, "seed": 3, "advance": True, "seq": 1}
    events = client.post(path, json=request | {"stream": True}).text
    assert '"step":9' in events
    again = client.post(path, json=request).json()
    text = "".join(re.findall(r'"text":"((?:[^"\\]|\\.)*)"', events))
    assert again["choices"][0]["text"] == text.encode().decode("unicode_escape")
    assert client.post(path, json=request | {"stream": True}).status_code == 409
