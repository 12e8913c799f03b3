"""Routes of steps, of one session and of many."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from tests.edge.sessions.routes import PROBLEM, opened


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
