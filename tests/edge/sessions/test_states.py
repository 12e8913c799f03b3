"""Routes of states: copied, kept, gone back to, migrated, carried, and looked ahead from."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from tests.bundles import HORIZON
from tests.edge.sessions.routes import PROBLEM, opened


def test_a_fork_is_independent(client: TestClient) -> None:
    """201, and both go on by themselves from the same state."""
    id = opened(client)
    client.post(f"/sessions/{id}/steps", json={"seq": 1, "inputs": [5, 6, 7]})
    answer = client.post(f"/sessions/{id}/fork", json={"id": f"{id}-fork"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/sessions/{id}-fork"
    step = {"seq": 4, "inputs": 8}
    outputs = [client.post(f"/sessions/{one}/steps", json=step).json() for one in (id, f"{id}-fork")]
    assert outputs[0] == outputs[1]
    client.post(f"/sessions/{id}/steps", json={"seq": 5, "inputs": 9})
    assert client.get(f"/sessions/{id}-fork").json()["step"] == 4
    assert client.post(f"/sessions/{id}/fork", json={"id": id}).status_code == 409


def test_snapshots_are_kept_listed_and_gone_back_to(client: TestClient) -> None:
    """By name, by step, and to the start; the same steps give the same outputs again."""
    id = opened(client)
    path = f"/sessions/{id}"
    client.post(f"{path}/steps", json={"inputs": [1, 2]})
    kept = client.post(f"{path}/snapshots", json={"name": "calm"})
    assert kept.status_code == 201
    assert (kept.json()["name"], kept.json()["step"], kept.json()["automatic"]) == ("calm", 2, False)
    after = client.post(f"{path}/steps", json={"inputs": 3}).json()
    assert client.get(f"{path}/snapshots").json() == {"snapshots": [kept.json()]}
    for target in ("calm", 2):
        assert client.post(f"{path}/rewind", json={"to": target}).json()["step"] == 2
        assert client.post(f"{path}/steps", json={"inputs": 3}).json() == after
    assert client.post(f"{path}/rewind", json={"to": 0}).json()["step"] == 0
    missing = client.post(f"{path}/rewind", json={"to": "storm"})
    assert missing.status_code == 422
    assert "calm (step 2)" in missing.json()["detail"]
    assert client.post(f"{path}/snapshots", json={"name": "calm"}).status_code == 422
    assert client.post(f"{path}/snapshots", json={"name": "two"}).status_code == 201
    full = client.post(f"{path}/snapshots", json={"name": "three"})
    assert full.json()["errors"][0]["allowed"] == {"max": 2}


def test_migration_to_another_layout_is_refused_with_the_reason(client: TestClient) -> None:
    """412; to the version it is on already it is no change."""
    id = opened(client)
    assert client.post(f"/sessions/{id}/migrate", json={"model": "tiny-series-lstm@1"}).status_code == 200
    answer = client.post(f"/sessions/{id}/migrate", json={"model": "tiny-series-gru@1"})
    assert answer.status_code == 412
    assert "laid out differently" in answer.json()["detail"]
    assert client.post(f"/sessions/{id}/migrate", json={"model": "none@1"}).status_code == 404


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
