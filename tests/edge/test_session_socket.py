"""What a session socket decides, in this process with a fake service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from app.core.errors import SessionGone
from app.core.limits import Limits
from tests.edge.fake_service import FakeEdge
from tests.edge.fake_sessions import FakeSessions


def until(happened: Callable[[], bool]) -> None:
    """Wait for something on the application's side."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def collect(socket: WebSocketTestSession, count: int) -> list[dict[str, Any]]:
    """So many outcomes and markers, with frames of many taken apart."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        frame = socket.receive_json()
        found += frame["results"] if frame["type"] == "outputs" else [frame]
    return found


class Stage:
    """An application with fake sessions, and its client."""

    def __init__(self, limits: Limits | None = None, **session_limits: Any) -> None:
        self.sessions = FakeSessions()
        self.edge = FakeEdge(limits, self.sessions.edge(**session_limits))
        self.client = TestClient(self.edge.app)

    def call(self, work: Callable[[], Any]) -> None:
        """Run something on the application's loop."""
        assert self.client.portal is not None
        self.client.portal.call(work)


def test_the_first_frame_says_where_the_session_is() -> None:
    """So that a client that comes back knows what was applied."""
    stage = Stage()
    stage.sessions.applied["a"] = 4
    with stage.client as client, client.websocket_connect("/sessions/a") as socket:
        hello = {"type": "hello", "id": "a", "model": "fake@1", "step": 4, "next_seq": 5}
        assert socket.receive_json() == hello
        socket.send_json({"type": "step", "seq": 5, "inputs": 9})
        output = {"type": "output", "id": "a", "seq": 5, "step": 5, "outputs": [{"value": 9}]}
        assert socket.receive_json() == output


def test_an_unknown_session_is_refused_at_the_handshake() -> None:
    """With the problem as its answer."""
    stage = Stage()
    for path in ("/sessions/nobody", "/sessions/-"):
        with (
            stage.client as client,
            pytest.raises(WebSocketDenialResponse) as refusal,
            client.websocket_connect(path),
        ):
            pass
        assert refusal.value.status_code == 404
        assert refusal.value.json()["type"] == "urn:rnnserve:problem:unknown-session"


@pytest.mark.parametrize("path", ["/sessions", "/sessions/a"])
def test_without_sessions_there_is_no_socket(path: str) -> None:
    """404 at the handshake."""
    with TestClient(FakeEdge().app) as client:
        with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect(path):
            pass
        assert refusal.value.status_code == 404


def test_what_arrives_during_a_batch_is_the_next_batch() -> None:
    """Nothing waits for a batch to fill, and a busy socket makes larger ones; one frame answers each."""
    stage = Stage()
    with stage.client as client, client.websocket_connect("/sessions") as socket:
        stage.call(stage.sessions.gate.clear)
        socket.send_json({"type": "step", "id": "a", "seq": 1, "inputs": 0})
        until(lambda: stage.sessions.batches == [1])
        for seq in range(2, 12):
            socket.send_json({"type": "step", "id": "a", "seq": seq, "inputs": seq})
        socket.send_json({"type": "steps", "steps": [{"id": "b", "inputs": 1}, {"id": "c", "inputs": 1}]})
        socket.send_json({"type": "marker", "marker": "all"})
        time.sleep(0.1)
        stage.call(stage.sessions.gate.set)
        assert socket.receive_json()["type"] == "output"
        results = socket.receive_json()["results"]
        assert [one["id"] for one in results] == ["a"] * 10 + ["b", "c"]
        assert [one["seq"] for one in results] == [*range(2, 12), 1, 1]
        assert socket.receive_json() == {"type": "marker", "marker": "all"}
        assert stage.sessions.batches == [1, 12]


def test_markers_come_back_between_what_was_sent_around_them() -> None:
    """In their order, after everything before them."""
    stage = Stage()
    with stage.client as client, client.websocket_connect("/sessions/a") as socket:
        socket.receive_json()
        stage.call(stage.sessions.gate.clear)
        socket.send_json({"type": "step", "inputs": 0})
        until(lambda: stage.sessions.batches == [1])
        for number in range(1, 4):
            socket.send_json({"type": "step", "inputs": number})
            socket.send_json({"type": "marker", "marker": f"m{number}"})
        socket.send_json({"type": "marker", "marker": "last"})
        stage.call(stage.sessions.gate.set)
        frames = collect(socket, 8)
        assert [one.get("marker") or one["step"] for one in frames] == [1, 2, "m1", 3, "m2", 4, "m3", "last"]


def test_a_batch_is_no_larger_than_the_limit() -> None:
    """The rest is the next one."""
    stage = Stage(session_max_batch_calls=4)
    with stage.client as client, client.websocket_connect("/sessions") as socket:
        socket.send_json({"type": "steps", "steps": [{"id": "a", "inputs": 1}] * 10})
        assert [one["step"] for one in collect(socket, 10)] == list(range(1, 11))
        assert stage.sessions.batches == [4, 4, 2]


def test_a_client_that_sends_faster_than_is_applied_is_not_read() -> None:
    """What waits is bounded, and when it moves everything is applied in order."""
    stage = Stage()
    total = 6000
    with stage.client as client, client.websocket_connect("/sessions/a") as socket:
        socket.receive_json()
        stage.call(stage.sessions.gate.clear)
        for number in range(total):
            socket.send_json({"type": "step", "seq": number + 1, "inputs": number})
        until(lambda: stage.sessions.batches[:1] == [1])
        time.sleep(0.3)
        stage.call(stage.sessions.gate.set)
        frames = collect(socket, total)
        assert [one["step"] for one in frames] == list(range(1, total + 1))
        assert max(stage.sessions.batches) <= 4096 + 1


def test_a_wrong_message_gets_an_error_frame_and_the_socket_lives() -> None:
    """Not JSON, not known, binary."""
    stage = Stage()
    with stage.client as client, client.websocket_connect("/sessions/a") as socket:
        socket.receive_json()
        for text, field in (("{", "body"), ('{"type": "x"}', "type"), ('{"type": "step"}', "inputs")):
            socket.send_text(text)
            frame = socket.receive_json()
            assert (frame["type"], frame["status"], frame["errors"][0]["field"]) == ("error", 422, field)
        socket.send_bytes(b"{}")
        assert socket.receive_json()["status"] == 415
        socket.send_json({"type": "step", "inputs": 1})
        assert socket.receive_json()["type"] == "output"


def test_an_error_in_flight_makes_what_follows_conflict() -> None:
    """Their numbers tell; nothing is applied out of its place."""
    stage = Stage()
    stage.sessions.refuse["bad"] = SessionGone("a", "closed", "", 1)
    with stage.client as client, client.websocket_connect("/sessions/a") as socket:
        socket.receive_json()
        for seq, inputs in enumerate([1, "bad", 3, 4], start=1):
            socket.send_json({"type": "step", "seq": seq, "inputs": inputs})
        frames = collect(socket, 4)
        assert [one.get("status") for one in frames] == [None, 410, 409, 409]
        assert [one.get("expected") for one in frames[2:]] == [2, 2]
        assert stage.sessions.applied == {"a": 1}


def test_the_end_of_a_session_is_announced() -> None:
    """On a socket for many it goes on; one for that session alone is closed."""
    stage = Stage()
    with stage.client as client:
        with client.websocket_connect("/sessions") as many:
            many.send_json({"type": "step", "id": "a", "inputs": 1})
            many.receive_json()
            stage.sessions.endings["a"] = SessionGone("a", "expired", "2024-01-01T00:00:00Z", 1)
            gone = {
                "type": "expired",
                "id": "a",
                "reason": "expired",
                "ended_at": "2024-01-01T00:00:00Z",
                "step": 1,
            }
            assert many.receive_json() == gone
            many.send_json({"type": "step", "id": "b", "inputs": 1})
            assert many.receive_json()["type"] == "output"
        with client.websocket_connect("/sessions/a") as one:
            assert one.receive_json()["type"] == "hello"
            assert one.receive_json() == gone
            closed = one.receive()
            assert (closed["code"], closed["reason"]) == (1000, "the session has ended")


def test_a_drain_ends_the_running_batch_and_says_where_the_session_is() -> None:
    """What was answered was applied; what waited was not; the close code is 1012."""
    stage = Stage()
    with (
        stage.client as client,
        client.websocket_connect("/sessions/a") as one,
        client.websocket_connect("/sessions") as many,
    ):
        one.receive_json()
        stage.call(stage.sessions.gate.clear)
        one.send_json({"type": "step", "seq": 1, "inputs": 1})
        until(lambda: stage.sessions.batches == [1])
        one.send_json({"type": "step", "seq": 2, "inputs": 2})
        time.sleep(0.1)
        stage.call(stage.edge.lifecycle.drain)
        assert many.receive_json() == {"type": "closing"}
        assert many.receive()["code"] == 1012
        stage.call(stage.sessions.gate.set)
        assert one.receive_json()["step"] == 1
        assert one.receive_json() == {"type": "closing", "id": "a", "step": 1, "next_seq": 2}
        assert one.receive()["code"] == 1012
        assert stage.sessions.applied == {"a": 1}
        with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect("/sessions"):
            pass
        assert refusal.value.status_code == 503


def test_an_idle_socket_is_closed_and_a_busy_one_is_not() -> None:
    """A batch that takes longer than the idle time is no idleness."""
    stage = Stage(Limits(socket_idle_s=0.15))
    with stage.client as client, client.websocket_connect("/sessions/a") as socket:
        socket.receive_json()
        stage.call(stage.sessions.gate.clear)
        socket.send_json({"type": "step", "inputs": 1})
        time.sleep(0.4)
        stage.call(stage.sessions.gate.set)
        assert socket.receive_json()["type"] == "output"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1000
        assert "0.15 s" in str(closed.value.reason)
    assert stage.edge.lifecycle.num_sockets == 0


def test_large_answers_are_cut_into_frames_that_clients_take() -> None:
    """No frame of many outcomes is over the megabyte that WebSocket clients allow by default."""
    stage = Stage()
    with stage.client as client, client.websocket_connect("/sessions") as socket:
        steps = [{"id": f"s{number}", "inputs": "x" * 20_000} for number in range(40)]
        socket.send_json({"type": "steps", "steps": steps})
        count = 0
        while count < 40:
            text = socket.receive_text()
            assert len(text) < 300_000
            count += text.count('"output"')
