"""What the socket's code decides beyond the table, in this process with a fake service."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from app.core.errors import EngineDead, Overloaded
from app.core.limits import Limits
from app.edge.sockets.task_socket import TaskSocket
from tests.edge.fake_service import FakeEdge


def until_the_end(socket: WebSocketTestSession) -> list[dict[str, Any]]:
    """Frames up to the one that ends a generation."""
    frames = [socket.receive_json()]
    while frames[-1]["type"] == "token":
        frames.append(socket.receive_json())
    return frames


def test_a_generation_that_fails_ends_with_an_error_frame_and_the_socket_lives(
    edge: FakeEdge, client: TestClient
) -> None:
    """The tokens that came before stand; the next generation is served."""
    edge.service.error = EngineDead("this model has stopped")
    with client.websocket_connect("/generate") as socket:
        socket.send_json({"max_tokens": 2})
        frames = until_the_end(socket)
        assert [frame["type"] for frame in frames] == ["token", "token", "error"]
        assert frames[-1]["status"] == 503
        assert frames[-1]["problem"] == "urn:rnnserve:problem:engine-dead"
        edge.service.error = None
        socket.send_json({"max_tokens": 1})
        assert until_the_end(socket)[-1]["type"] == "done"


def test_an_unexpected_failure_is_one_constant_sentence(
    edge: FakeEdge, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the rest."""
    edge.service.error = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR), client.websocket_connect("/generate") as socket:
        socket.send_json({"max_tokens": 1})
        frame = until_the_end(socket)[-1]
    assert frame["type"] == "error"
    assert frame["status"] == 500
    assert "secret" not in json.dumps(frame)
    assert "secret" in caplog.text


def test_a_refused_request_leaves_the_socket_idle(edge: FakeEdge, client: TestClient) -> None:
    """A full queue is an error frame with the time to come back; the next request is taken."""
    edge.service.refuse = Overloaded("full", retry_after_s=3)
    with client.websocket_connect("/generate") as socket:
        socket.send_json({"max_tokens": 1})
        frame = socket.receive_json()
        assert (frame["status"], frame["retry_after_s"]) == (503, 3)
        edge.service.refuse = None
        socket.send_json({"max_tokens": 1})
        assert until_the_end(socket)[-1]["type"] == "done"


def test_a_drain_closes_idle_sockets_and_lets_running_ones_end(edge: FakeEdge, client: TestClient) -> None:
    """Both are closed with 1012, the running one after its done frame; new ones are turned away."""
    edge.service.delay_s = 0.01
    with client.websocket_connect("/generate") as idle, client.websocket_connect("/generate") as running:
        running.send_json({"max_tokens": 20})
        running.receive_json()
        assert client.portal is not None
        client.portal.call(edge.lifecycle.drain)
        assert idle.receive()["code"] == 1012
        running.send_json({"max_tokens": 1})
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["type"] != "done":
            frames.append(running.receive_json())
        refused = [frame for frame in frames if frame["type"] == "error"]
        assert "shutting down" in refused[0]["detail"]
        assert frames[-1]["finish_reason"] == "length"
        assert running.receive()["code"] == 1012
    with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect("/generate"):
        pass
    assert refusal.value.status_code == 503


def test_what_comes_with_the_drain_is_not_read(
    edge: FakeEdge, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request of the very pass of the loop in which the socket is told to end would get an error frame."""
    read: list[str] = []
    monkeypatch.setattr(TaskSocket, "take", lambda self, text: read.append(text))

    def drain_with_a_request() -> None:
        socket._receive_tx.send_nowait({"type": "websocket.receive", "text": '{"max_tokens": 1}'})
        edge.lifecycle.drain()

    with client.websocket_connect("/generate") as socket:
        assert client.portal is not None
        client.portal.call(drain_with_a_request)
        assert socket.receive()["code"] == 1012
    assert read == []


def test_a_client_that_leaves_cancels_its_generation(edge: FakeEdge, client: TestClient) -> None:
    """The stream is told, and the gauge goes back."""
    edge.service.delay_s = 0.01
    with client.websocket_connect("/generate") as socket:
        socket.send_json({"max_tokens": 10_000})
        socket.receive_json()
        assert edge.lifecycle.num_sockets == 1
        socket.close()
        until = time.monotonic() + 5
        while edge.lifecycle.num_sockets:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert edge.service.streams[0].cancelled
    assert b"rnnserve_websockets 0.0" in edge.metrics.exposition()[0]


def test_an_idle_socket_is_closed() -> None:
    """After the limit, with the reason."""
    edge = FakeEdge(Limits(socket_idle_s=0.05))
    with TestClient(edge.app) as client, client.websocket_connect("/generate") as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1000
        assert closed.value.reason == "no request came for 0.05 s"
