"""Connections are dropped by rules that only the transport can keep."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.core.errors import ConfigurationError
from app.core.limits import Limits
from app.edge.http import server, transports
from app.edge.http.server import bind
from tests.edge.fake_sessions import FakeSessions
from tests.edge.running import Running
from tests.security.raw import KEY, OFFER, frame, open_websocket

CLOSE, PING, PONG = 8, 9, 10


async def test_a_head_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a silent connection nor half a request may stay for ever; a finished one may."""
    monkeypatch.setattr(transports, "HEAD_S", 0.2)
    async with Running() as running:
        silent, idle = await asyncio.open_connection("127.0.0.1", running.port)
        half, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: ")
        whole, other = await asyncio.open_connection("127.0.0.1", running.port)
        other.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await whole.readline()).startswith(b"HTTP/1.1 200")
        for reader in (silent, half):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
        await asyncio.sleep(0.3)
        other.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(whole.readuntil(b"HTTP/1.1 200"), 10)
        for stream in (idle, writer, other):
            stream.close()
            with contextlib.suppress(ConnectionError):
                await stream.wait_closed()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system cannot")
@pytest.mark.parametrize("last", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
async def test_a_client_that_never_reads_its_answers_is_dropped(
    monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    """Whether an answer waits for it or all have been sent; one that reads late gets them whole."""
    monkeypatch.setattr(server, "UNREAD_S", 1.0)
    app = Starlette(routes=[Route("/", lambda request: Response(b"x" * 2**23))])
    async with Running(app=app) as running:
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.connect(("127.0.0.1", running.port))
            silent.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n%b\r\n" % last * (1 if last else 5))
            connections = running.server.server_state.connections
            async with asyncio.timeout(30):
                while not connections:
                    await asyncio.sleep(0.01)
                while connections:
                    await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n%b\r\n" % last)
        await asyncio.sleep(0.5)
        await reader.readuntil(b"\r\n\r\n")
        assert len(await asyncio.wait_for(reader.readexactly(2**23), 20)) == 2**23
        writer.close()


def test_a_port_is_bound_or_the_reason_is_said() -> None:
    """In one sentence, for a taken port and for an address that is not ours."""
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is already in use"):
            bind("127.0.0.1", port).close()
    with pytest.raises(ConfigurationError, match=r"cannot listen on 203\.0\.113\.7"):
        bind("203.0.113.7", 0).close()
    with bind("localhost", 0) as named:
        assert named.getsockname()[1] > 0


async def test_a_client_that_sends_while_the_server_ends_still_reads_the_close_frame() -> None:
    """Nothing is dropped with the client's frames unread: TCP would take back what was sent to it."""
    sessions = FakeSessions()
    async with Running(sessions) as running:
        socket = await connect(f"ws://127.0.0.1:{running.port}/sessions", ping_interval=None)
        # Unread answers keep the client from reading on, so that it does not see the end at once.
        while sum(sessions.applied.values()) < 100:
            await send_all(socket, 1)
            await asyncio.sleep(0)
        running.server.should_exit = True
        for _ in range(100):
            await send_all(socket, 1)
            await asyncio.sleep(0.005)
        with pytest.raises(ConnectionClosed) as closed:
            await read_all(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


async def test_a_client_whose_answer_to_a_ping_is_not_read_is_not_dropped() -> None:
    """A full inbox stops the reading; pings go unanswered for as long, and that is not the client's fault."""
    sessions = FakeSessions()
    async with Running(sessions, Limits(socket_ping_s=0.4)) as running:
        sessions.gate.clear()
        async with connect(
            f"ws://127.0.0.1:{running.port}/sessions", ping_interval=None, max_size=None
        ) as socket:
            # More than the inbox holds, so that some lie in front of the answers to the pings.
            calls = 10_000
            sending = asyncio.create_task(send_all(socket, calls))
            await asyncio.sleep(1.5)
            assert not sessions.applied
            sessions.gate.set()
            answered = 0
            while answered < calls:
                frame = json.loads(await socket.recv())
                answered += len(frame["results"]) if frame["type"] == "outputs" else 1
            await sending
    assert sessions.applied == {"a": calls}


def test_a_client_that_answered_while_the_loop_was_busy_is_not_dropped() -> None:
    """A loop of uvloop that was held runs the timer of a ping before it reads the answer, which is there."""

    async def check() -> int:
        async with Running(limits=Limits(socket_ping_s=0.2)) as running:
            with await asyncio.to_thread(open_websocket, running.port) as raw:
                answering = asyncio.create_task(asyncio.to_thread(answer_pings, raw))
                for _ in range(4):
                    await asyncio.sleep(0.25)
                    time.sleep(0.5)
                await asyncio.sleep(0.1)
                assert not answering.done(), "it was dropped"
                running.server.should_exit = True
                return await answering

    assert uvloop.run(check()) >= 2


async def test_a_client_that_sends_is_there_though_its_answer_comes_late() -> None:
    """Its answer to a ping lies behind much that it has sent."""
    async with Running(limits=Limits(socket_ping_s=0.2)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /sessions HTTP/1.1\r\nhost: x\r\n" + OFFER + KEY + b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        for _ in range(20):
            writer.write(frame(PONG, b"old"))
            await asyncio.sleep(0.1)
        assert not reader.at_eof()
        assert len(running.server.server_state.connections) == 1
        writer.close()


async def test_a_client_that_does_not_answer_pings_is_dropped() -> None:
    """Where everything it sent has been read."""
    async with Running(limits=Limits(socket_ping_s=0.1)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"GET /sessions HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        await asyncio.wait_for(reader.read(), 10)
        writer.close()


def answer_pings(raw: socket.socket) -> int:
    """Until the connection ends, without masks' trouble; how many there were."""
    count = 0
    with raw.makefile("rb") as stream:
        while head := stream.read(2):
            data = stream.read(head[1])
            if head[0] & 15 == PING:
                raw.sendall(frame(PONG, data))
                count += 1
            elif head[0] & 15 == CLOSE:
                raw.sendall(frame(CLOSE, data))
    return count


async def send_all(socket: ClientConnection, calls: int) -> None:
    """That many calls, as fast as they are taken, while the socket is open."""
    with contextlib.suppress(ConnectionClosed):
        for _ in range(calls):
            await socket.send(json.dumps({"type": "step", "id": "a", "inputs": 1}))


async def read_all(socket: ClientConnection) -> None:
    """Every frame, until the socket is closed."""
    while True:
        await socket.recv()
