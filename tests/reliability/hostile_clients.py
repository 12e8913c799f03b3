"""Clients that flood, crowd, leave half-way, or are pages of strangers."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2

from tests.e2e.server import ServerProcess
from tests.reliability.attack import Attack, answers
from tests.security.raw import FORECAST, KEY, OFFER, connect, open_websocket, post, read_answer
from tests.security.test_floods import ENDLESS, HTTP_FLOODS, SOCKET_FLOODS
from tests.security.test_room import CROWDS

_FLOOD_S = 2.0
_ROUNDS = 12
_HALF = b"\x81\xff" + (900_000).to_bytes(8) + bytes(4) + b"x" * 600_000


def flood(first: bytes, piece: bytes, *, is_socket: bool) -> Callable[[ServerProcess], str]:
    """Send pieces until the server ends it, or for a while."""

    def act(server: ServerProcess) -> str:
        sent, began = len(first), time.monotonic()
        with open_websocket(server.port) if is_socket else connect(server.port) as raw:
            raw.settimeout(2)
            with contextlib.suppress(OSError):
                raw.sendall(first)
                while time.monotonic() - began < _FLOOD_S:
                    raw.sendall(piece)
                    sent += len(piece)
                return f"{sent / 2**20:.1f} MiB taken in {_FLOOD_S:g} s"
            took = time.monotonic() - began
            return f"cut off after {sent / 2**20:.1f} MiB" if took < _FLOOD_S else "not read"

    return act


def floods() -> Iterator[Attack]:
    """One connection that sends without end."""
    for name, (first, piece) in HTTP_FLOODS.items():
        yield Attack(name, flood(first, piece, is_socket=False))
    for name, (first, piece) in SOCKET_FLOODS.items():
        yield Attack(name, flood(first, piece, is_socket=True))
    for name, (begin, piece) in ENDLESS.items():
        yield Attack(name, flood(begin or b"", piece, is_socket=begin is None))


def leave(server: ServerProcess, begin: Callable[[int], socket.socket], wire: bytes) -> str:
    """Send a part, 150 at a time, and go away."""
    for _ in range(_ROUNDS):
        with ExitStack() as stack:
            for _ in range(150):
                raw = stack.enter_context(begin(server.port))
                raw.settimeout(2)
                with contextlib.suppress(OSError):
                    raw.sendall(wire)
    return f"{_ROUNDS * 150} came and went"


def halves() -> Iterator[Attack]:
    """Many connections that send a part and go away."""
    chunked = post(b"", b"transfer-encoding: chunked", announced=False)
    yield Attack("half a message", lambda server: leave(server, open_websocket, _HALF))
    yield Attack("half a body", lambda server: leave(server, connect, post(b"x" * 900_000)[:600_000]))
    wire = chunked + b"1\r\n[\r\n0\r\n" + b"x: y\r\n" * 2000
    yield Attack("half the trailers", lambda server: leave(server, connect, wire))
    zipped = post(gzip.compress(os.urandom(600_000)), b"content-encoding: gzip")[:-1000]
    yield Attack("half a gzip body", lambda server: leave(server, connect, zipped))


def crowd(server: ServerProcess, wire: bytes) -> str:
    """1,100 connections that send something and wait."""
    with ExitStack() as stack:
        lines = [stack.enter_context(connect(server.port)) for _ in range(1100)]
        for raw in lines:
            with contextlib.suppress(OSError):
                raw.sendall(wire)
        time.sleep(2)
        admin = server.log.split("admin port ")[1].split()[0]
        told = httpx2.get(f"http://127.0.0.1:{admin}/metrics").text
        (held,) = re.findall(r"^rnnserve_connections (\d+)", told, re.MULTILINE)
        return f"{held} connections are open after 2 s"


def crowds() -> Iterator[Attack]:
    for name in ("silent", "half-a-head", "half-a-handshake", "half-a-body", "health"):
        yield Attack(f"1,100 connections: {name}", lambda server, wire=CROWDS[name]: crowd(server, wire))  # type: ignore[misc]  # bound now


def pages(server: ServerProcess) -> str:
    """What a stranger's page can have a browser send."""
    wires = [
        post(b'{"inputs": 1}', b"origin: http://evil.example", path=b"/sessions/hourly/steps"),
        post(b'{"to": 0}', b"origin: null", path=b"/sessions/hourly/rewind"),
        post(b"{}", b"sec-fetch-site: cross-site", path=b"/v2/repository/models/spare/unload"),
        b"GET /sessions HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        b"GET /sessions HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\n"
        + OFFER
        + KEY
        + b"\r\n",
    ]
    return answers(server, wires * 100, at_once=8)


def trailers(server: ServerProcess) -> str:
    """A request whose trailers call themselves headers."""
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(FORECAST), FORECAST)
    chunked = post(b"", b"transfer-encoding: chunked", announced=False)
    with connect(server.port) as raw, raw.makefile("rb") as stream:
        raw.sendall((chunked + chunk + b"x-request-id: spoofed\r\nx-api-key: k\r\n\r\n") * 200)
        ids = [read_answer(stream).headers[b"x-request-id"] for _ in range(200)]
    return f"{ids.count(b'spoofed')} of 200 were believed"


def browsers() -> Iterator[Attack]:
    yield Attack("a page of another site, and one with another name", pages)
    yield Attack("trailers that call themselves headers", trailers)
