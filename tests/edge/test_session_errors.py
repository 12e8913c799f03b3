"""What each failure of a session is to a client: status, type, members and headers."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.core import errors
from tests.edge.fake_service import FakeEdge
from tests.edge.fake_sessions import FakeSessions

ENDED = "2024-01-01T00:00:00.000Z"

CASES: list[tuple[Exception, int, str, dict[str, Any]]] = [
    (errors.UnknownSession("a"), 404, "unknown-session", {}),
    (
        errors.SessionGone("a", "expired", ENDED, 7),
        410,
        "session-gone",
        {"reason": "expired", "ended_at": ENDED, "step": 7},
    ),
    (
        errors.SequenceConflict("no", 4),
        409,
        "sequence-conflict",
        {"step": 4, "expected": 5},
    ),
    (errors.ModelMismatch("other"), 412, "model-mismatch", {}),
    (errors.InvalidState("forged"), 422, "invalid-state", {}),
    (errors.InvalidInput("inputs", "no"), 422, "invalid-input", {}),
    (errors.SessionLimit("enough", retry_after_s=5), 429, "session-limit", {"retry_after_s": 5.0}),
    (errors.StoreFull("full", retry_after_s=60), 503, "store-full", {"retry_after_s": 60.0}),
    (errors.StoreUnavailable("away"), 503, "store-unavailable", {"retry_after_s": 1.0}),
    (errors.Overloaded("busy", retry_after_s=2), 503, "overloaded", {"retry_after_s": 2.0}),
    (errors.DeadlineExceeded("late"), 504, "deadline-exceeded", {"retry_after_s": 1.0}),
    (errors.StateQuarantined("inf"), 500, "state-quarantined", {}),
    (errors.CorruptSession("a"), 500, "corrupt-session", {}),
]
MEMBERS = {"step", "expected", "reason", "ended_at", "retry_after_s"}


@pytest.mark.parametrize(
    ("error", "status", "name", "members"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_failure_has_its_status_type_and_members(
    error: Exception, status: int, name: str, members: dict[str, Any]
) -> None:
    """Alike over HTTP, in a batch, and on a socket; the extra facts are members of the problem."""
    sessions = FakeSessions()
    with TestClient(FakeEdge(sessions=sessions.edge()).app) as client:
        assert isinstance(error, errors.RnnserveError)
        sessions.refuse["1"] = error
        answer = client.post("/sessions/a/steps", json={"seq": 1, "inputs": 1})
        problem = answer.json()
        assert answer.status_code == problem["status"] == status
        assert problem["type"] == f"urn:rnnserve:problem:{name}"
        assert {key: problem[key] for key in MEMBERS & set(problem)} == members
        assert ("retry-after" in answer.headers) == ("retry_after_s" in members)
        batch = client.post("/sessions/steps", json={"steps": [{"id": "a", "seq": 1, "inputs": 1}]}).json()
        told = batch["results"][0]["error"]
        assert {**told, "request_id": problem["request_id"]} == problem
        with client.websocket_connect("/sessions") as socket:
            socket.send_json({"type": "step", "id": "a", "seq": 1, "inputs": 1})
            frame = socket.receive_json()
        assert (frame["type"], frame["id"], frame["seq"]) == ("error", "a", 1)
        assert frame["problem"] == problem["type"]
        assert {key: frame[key] for key in MEMBERS & set(frame)} == members


def test_a_failure_of_a_whole_batch_reaches_each_of_its_calls() -> None:
    """A store that is away fails them all; the socket lives on and serves the next."""
    sessions = FakeSessions()
    with (
        TestClient(FakeEdge(sessions=sessions.edge()).app) as client,
        client.websocket_connect("/sessions") as socket,
    ):
        sessions.error = errors.StoreUnavailable("away", retry_after_s=3)
        socket.send_json({"type": "steps", "steps": [{"id": one, "seq": 1, "inputs": 1} for one in "abc"]})
        results = socket.receive_json()["results"]
        assert [(one["id"], one["status"], one["retry_after_s"]) for one in results] == [
            (one, 503, 3) for one in "abc"
        ]
        sessions.error = None
        socket.send_json({"type": "step", "id": "a", "seq": 1, "inputs": 1})
        assert socket.receive_json()["type"] == "output"


def test_an_unexpected_failure_is_one_constant_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """On a socket too; the log has the rest, and the socket lives on."""
    sessions = FakeSessions()
    with (
        TestClient(FakeEdge(sessions=sessions.edge()).app) as client,
        client.websocket_connect("/sessions") as socket,
        caplog.at_level(logging.ERROR),
    ):
        sessions.error = ZeroDivisionError("secret")
        socket.send_json({"type": "step", "id": "a", "inputs": 1})
        frame = socket.receive_json()
        assert (frame["status"], frame["problem"]) == (500, "urn:rnnserve:problem:internal")
        assert "secret" not in json.dumps(frame)
        assert "secret" in caplog.text
        sessions.error = None
        socket.send_json({"type": "step", "id": "a", "inputs": 1})
        assert socket.receive_json()["type"] == "output"


def test_readiness_follows_the_store() -> None:
    """503 with the reason while it does not answer."""
    sessions = FakeSessions()
    with TestClient(FakeEdge(sessions=sessions.edge()).app) as client:
        assert client.get("/readyz").status_code == 200
        sessions.healthy = False
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reason"] == "the session store does not answer"
        assert client.get("/healthz").status_code == 200
