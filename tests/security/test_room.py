"""Connections without end: whoever asks is heard, and no connection with a key is dropped for another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.edge.http.room import Room, room
from app.edge.sockets.connection import refusal
from tests.e2e.server import ServerProcess
from tests.edge.fake_service import FakeEdge
from tests.edge.running import Running
from tests.security.conftest import KeyFile
from tests.security.raw import FORECAST, KEY, OFFER, connect, post, read_answer

DESCRIPTORS = 160
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"

# What each of the many connections sends before it waits.
CROWDS = {
    "silent": b"",
    "half-a-head": b"GET /healthz HTTP/1.1\r\nhost: x\r\n",
    "half-a-handshake": b"GET /sessions HTTP/1.1\r\nhost: x\r\n" + OFFER,
    "refused": post(FORECAST),
    "half-a-body": post(FORECAST)[:-5],
    "health": HEALTH,
    "wrong-key": post(FORECAST, b"x-api-key: none"),
    "refused-handshake": b"GET /sessions HTTP/1.1\r\nhost: x\r\n" + OFFER + KEY + b"\r\n",
    "nonsense": b"nonsense\r\n\r\n",
}


@pytest.fixture(scope="module")
def few(one_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, bytes]]:
    """A server with keys and few descriptors, and a header with one of the keys."""
    keys = KeyFile(tmp_path_factory.mktemp("keys") / "keys.toml")
    keys.add("alice")
    with ServerProcess(one_model, keys=keys.path, max_descriptors=DESCRIPTORS, admin_port=0) as server:
        yield server, b"x-api-key: " + keys.keys["alice"].encode()
    assert "Too many open files" not in server.log
    assert "Traceback" not in server.log


@contextlib.contextmanager
def crowd(port: int, wire: bytes) -> Iterator[None]:
    """Three times as many connections as there are descriptors."""
    with contextlib.ExitStack() as stack:
        for _ in range(3 * DESCRIPTORS):
            raw = stack.enter_context(connect(port))
            with contextlib.suppress(ConnectionError):
                raw.sendall(wire)
        yield


def ask(raw: socket.socket, key: bytes) -> int:
    """The status of a forecast."""
    raw.sendall(post(FORECAST, key))
    with raw.makefile("rb") as stream:
        return read_answer(stream).status


@pytest.mark.parametrize("name", CROWDS)
def test_a_crowd_without_keys_shuts_nobody_out(few: tuple[ServerProcess, bytes], name: str) -> None:
    """Neither who is here already nor who comes, by request or by WebSocket."""
    server, key = few
    with connect(server.port) as early:
        assert ask(early, key) == 200
        with crowd(server.port, CROWDS[name]):
            for _ in range(5):
                with connect(server.port, 5) as late:
                    assert ask(late, key) == 200
                    assert ask(late, key) == 200
            with connect(server.port, 5) as raw:
                raw.sendall(b"GET /sessions HTTP/1.1\r\nhost: x\r\n" + key + b"\r\n" + OFFER + KEY + b"\r\n")
                assert raw.recv(12) == b"HTTP/1.1 101"
            assert ask(early, key) == 200


def test_without_keys_who_asks_is_heard(one_model: Path) -> None:
    """The crowd's own connections make room."""
    with ServerProcess(one_model, max_descriptors=DESCRIPTORS) as server:
        for wire in (CROWDS["half-a-head"], CROWDS["health"], CROWDS["half-a-body"]):
            with crowd(server.port, wire), connect(server.port, 5) as raw:
                assert ask(raw, b"x: y") == 200
                assert server.metric("rnnserve_connections") <= DESCRIPTORS - 64
        assert "Too many open files" not in server.log


class Wire:
    """Stands in for a transport."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        """Note it."""
        self.aborted = True


def test_the_one_that_has_waited_longest_leaves() -> None:
    """Those that are worked for stay."""
    small = Room()
    small.fit(64 + 3)
    wires = [Wire() for _ in range(6)]
    for wire in wires[:3]:
        small.enter(wire)  # type: ignore[arg-type]  # it can be aborted
    small.work(wires[0])  # type: ignore[arg-type]  # likewise
    small.wait(wires[1])  # type: ignore[arg-type]  # likewise
    small.enter(wires[3])  # type: ignore[arg-type]  # likewise
    assert [wire.aborted for wire in wires] == [False, False, True, False, False, False]
    small.leave(wires[2])  # type: ignore[arg-type]  # likewise
    small.work(wires[1])  # type: ignore[arg-type]  # likewise
    small.work(wires[3])  # type: ignore[arg-type]  # likewise
    small.enter(wires[4])  # type: ignore[arg-type]  # likewise
    assert [wire.aborted for wire in wires] == [False, False, True, False, True, False]
    assert (small.num_open, small.num_waiting) == (4, 0)


async def test_handshakes_count_among_the_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred at once open as many sockets as there may be."""
    edge = FakeEdge()
    limit = 10
    monkeypatch.setattr(edge, "limits", edge.limits.model_copy(update={"max_connections": limit}))
    async with Running(limits=edge.limits) as running:
        wire = b"GET /sessions/a HTTP/1.1\r\nhost: x\r\n" + OFFER + KEY + b"\r\n"
        lines = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", running.port) for _ in range(200))
        )
        for _, writer in lines:
            writer.write(wire)
        statuses = [int((await reader.readline()).split()[1]) for reader, _ in lines]
        assert (statuses.count(101), statuses.count(503)) == (limit, 200 - limit)
        for _, writer in lines:
            writer.close()


def test_sockets_leave_room_for_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are allowed."""
    edge = FakeEdge()
    monkeypatch.setattr(room, "limit", 16)
    real = edge.app.state.edge
    real.lifecycle.num_handshakes = 13
    assert refusal(real) is None
    real.lifecycle.num_handshakes = 14
    assert "all 14 WebSockets are in use" in str(refusal(real))
