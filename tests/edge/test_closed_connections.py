"""Nothing of a connection outlives it, and what has not arrived whole is bounded over all of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send
from websockets.server import ServerProtocol

from app.edge.http import transports
from app.edge.http.http_connection import HttpConnection
from app.edge.http.http_exchange import Exchange
from app.edge.http.room import room
from app.edge.http.transports import Lingering, unfinished
from app.edge.http.websocket_connection import WebSocketConnection
from tests.edge.running import Running
from tests.security.raw import FORECAST, KEY, OFFER, frame, post

KINDS = (HttpConnection, Exchange, WebSocketConnection, ServerProtocol, Lingering)
HANDSHAKE = b"GET /sessions HTTP/1.1\r\nhost: x\r\n" + OFFER + KEY + b"\r\n"
CHUNKED = post(b"", b"transfer-encoding: chunked", announced=False)
STEP = frame(1, b'{"type": "step", "id": "a", "inputs": 1}')
STREAM = post(json.dumps({"prompt": "A", "max_tokens": 50, "stream": True}).encode(), path=b"/generate")

# What a client sends, and whether it reads the answer before it goes.
VISITS = {
    "nothing": b"",
    "half-a-head": b"GET /healthz HTT",
    "answered": post(FORECAST),
    "answered-and-closed": post(FORECAST, b"connection: close"),
    "three": post(FORECAST) * 3,
    "half-a-body": post(b"x" * 100_000)[:-50_000],
    "half-a-chunk": CHUNKED + b"5\r\nab",
    "half-a-trailer": CHUNKED + b"1\r\n[\r\n0\r\nx: y",
    "offer": post(FORECAST, b"connection: upgrade", b"upgrade: foo"),
    "no-request": b"nonsense\r\n\r\n",
    "wrong": post(b"{}"),
    "stream": STREAM,
    "tunnel": b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    "socket": HANDSHAKE,
    "socket-used": HANDSHAKE + STEP * 20,
    "socket-closed": HANDSHAKE + STEP + frame(8, b"\x03\xe8"),
    "half-a-frame": HANDSHAKE + b"\x81\xfe\xff\xff\0\0\0\0" + b"x" * 40_000,
    "half-a-message": HANDSHAKE + frame(1, b"x" * 100, fin=False) * 1 + frame(0, b"x" * 100, fin=False) * 500,
    "pings": HANDSHAKE + frame(9) * 1000,
    "not-utf8": HANDSHAKE + frame(1, b"\xff"),
    "no-frame": HANDSHAKE + frame(3),
    "no-handshake": HANDSHAKE.replace(KEY, b""),
    "refused-handshake": HANDSHAKE.replace(b"/sessions", b"/nowhere"),
    "long-handshake": HANDSHAKE[:-2] + b"cookie: " + b"x" * 9000 + b"\r\n\r\n",
}


@contextlib.asynccontextmanager
async def uncollected() -> AsyncIterator[None]:
    """Without the garbage collector: a circle of references would make it the only one to free memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left() -> dict[str, int]:
    """How many objects of connections there are."""
    names = [type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, KINDS)]
    return {name: names.count(name) for name in set(names)}


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "goes"])
@pytest.mark.parametrize("name", VISITS)
async def test_nothing_of_a_closed_connection_is_left(name: str, reads: bool) -> None:
    async with Running() as running, uncollected():
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(VISITS[name])
            await writer.drain()
            if reads:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 0.2)
                writer.close()
            else:
                await asyncio.sleep(0.02)
                writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        until = asyncio.get_running_loop().time() + 5
        while left() and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.05)
        assert left() == {}
        assert unfinished.held == 0
        assert (room.num_open, room.num_waiting) == (0, 0)
        assert not running.server.server_state.connections
        assert not running.server.server_state.tasks


async def test_all_unfinished_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that sends more is told to come later; those that end their bodies are answered."""
    body = json.dumps({"values": [1.5] * 25_000, "horizon": 1}).encode()
    wire = post(body)
    async with Running() as running:
        monkeypatch.setattr(unfinished, "limit", 300_000)
        lines = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(8)]
        for _, writer in lines:
            for start in range(0, len(wire) - 10, 8192):
                writer.write(wire[start : min(start + 8192, len(wire) - 10)])
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
        assert 0 < unfinished.held <= 300_000
        statuses = []
        for reader, writer in lines:
            with contextlib.suppress(ConnectionError):
                writer.write(wire[-10:])
            statuses.append((await reader.readline()).split()[1])
            writer.close()
        assert statuses == [b"200"] * 2 + [b"503"] * 6, statuses
        await asyncio.sleep(0.1)
        assert unfinished.held == 0


async def test_all_unfinished_messages_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    half = b"\x81\xff" + (200_000).to_bytes(8) + bytes(4) + b"x" * 120_000
    async with Running() as running:
        monkeypatch.setattr(unfinished, "limit", 300_000)
        lines = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(4)]
        for reader, writer in lines:
            writer.write(HANDSHAKE)
            assert b"101" in await reader.readuntil(b"\r\n\r\n")
            writer.write(half)
            await asyncio.sleep(0.1)
        for reader, _ in lines[2:]:
            first, _, *code = await asyncio.wait_for(reader.readexactly(4), 5)
            assert (first & 15, int.from_bytes(bytes(code))) == (8, 1013)
        for _, writer in lines[:2]:
            writer.write(b" " * 80_000)
        for reader, _ in lines[:2]:
            assert (await asyncio.wait_for(reader.readexactly(1), 5))[0] & 15 == 1
        for _, writer in lines:
            writer.close()


async def test_a_handshake_that_is_not_answered_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the deadline that began with the connection."""
    monkeypatch.setattr(transports, "HEAD_S", 0.4)
    begun: list[str] = []

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            begun.append(scope["path"])
            while (await receive())["type"] != "websocket.disconnect":
                pass

    async with Running(app=silent) as running:
        started = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        await asyncio.sleep(0.2)
        writer.write(HANDSHAKE)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert 0.3 < asyncio.get_running_loop().time() - started < 2
        assert begun == ["/sessions"]
        writer.close()
