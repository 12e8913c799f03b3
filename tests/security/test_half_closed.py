"""Clients that close their sending side, and clients that still send when they are answered."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import tiny_forecaster, tiny_generator
from tests.e2e.server import ServerProcess
from tests.security.raw import FORECAST, connect, post, read_answer

LIMIT = 100_000
TEXT = {"prompt": "A", "max_tokens": 40}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("half-closed")
    tiny_forecaster(folder, "gru", "series")
    tiny_generator(folder, "gru", "text")
    with ServerProcess(folder, max_body_bytes=LIMIT) as process:
        yield process


def generation(*headers: bytes, **changes: object) -> bytes:
    return post(json.dumps(TEXT | changes).encode(), *headers, path=b"/generate")


REQUESTS = {
    "get": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 1),
    "forecast": (post(FORECAST), 1),
    "close": (post(FORECAST, b"connection: close"), 1),
    "wrong": (post(b"{}"), 1),
    "too-large": (post(b"[" * (LIMIT + 1)), 1),
    "generate": (generation(), 1),
    "three": (post(FORECAST) + generation() + post(FORECAST), 3),
    "nothing-there": (post(FORECAST, path=b"/nowhere"), 1),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_whoever_has_asked_and_sends_nothing_more_is_answered(server: ServerProcess, name: str) -> None:
    """Each request, and then the end."""
    wire, count = REQUESTS[name]
    with connect(server.port) as raw:
        raw.sendall(wire)
        raw.shutdown(socket.SHUT_WR)
        with raw.makefile("rb") as stream:
            for _ in range(count):
                assert read_answer(stream).status >= 200
            assert stream.read() == b""


def test_a_stream_goes_on_to_its_end(server: ServerProcess) -> None:
    with connect(server.port) as raw:
        raw.sendall(generation(stream=True))
        raw.shutdown(socket.SHUT_WR)
        with raw.makefile("rb") as stream:
            assert b"event: done" in stream.read()


@pytest.mark.parametrize("wire", [b"", b"GET /hea", post(FORECAST)[:-3], b"\r\n"], ids=repr)
def test_half_a_request_gets_the_end_at_once(server: ServerProcess, wire: bytes) -> None:
    with connect(server.port) as raw:
        raw.sendall(wire)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(1000) == b""


def test_a_client_that_has_gone_is_noticed_while_its_answer_is_made(server: ServerProcess) -> None:
    """Both look alike at first; the work for one that is not there must end."""
    with connect(server.port) as raw:
        raw.sendall(generation(max_tokens=10_000, n=16))
        server.wait_for_metric("rnnserve_http_requests_in_flight", 2.0)
    server.wait_for_metric("rnnserve_http_requests_in_flight", 1.0, timeout_s=5)
    server.wait_for_metric("rnnserve_sequences", 0.0, timeout_s=2)


@pytest.mark.parametrize("size", [LIMIT + 1, 20_000_000])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_body_over_the_limit_is_answered_and_not_reset(
    server: ServerProcess, size: int, connection: str
) -> None:
    """Python's own client sends all of it before it reads."""
    request = urllib.request.Request(
        f"{server.url}/forecast", b"[" * size, {"content-type": "application/json", "connection": connection}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 413
    assert json.loads(refused.value.read())["status"] == 413


def sends_until_reset(raw: socket.socket, piece: bytes, limit: int, pause_s: float) -> bool:
    """Whether the other side ends it before so many bytes are sent."""
    try:
        for _ in range(limit // len(piece)):
            raw.sendall(piece)
            time.sleep(pause_s)
    except ConnectionError:
        return True
    return False


def test_what_is_still_read_of_an_answered_client_is_bounded(server: ServerProcess) -> None:
    """In bytes, and in time."""
    endless = post(b"", b"transfer-encoding: chunked", announced=False)
    with connect(server.port) as raw:
        raw.sendall(endless)
        piece = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
        assert sends_until_reset(raw, piece, 2**30, 0)
    with connect(server.port) as raw:
        raw.sendall(endless + piece * 2)
        with raw.makefile("rb") as stream:
            assert read_answer(stream).status == 413
            assert stream.read() == b""
        assert sends_until_reset(raw, b"1\r\n[\r\n", 6 * 300, 0.1)


def test_no_descriptor_is_left(server: ServerProcess) -> None:
    """After all of the above."""
    folder = Path(f"/proc/{server.pid}/fd")
    if not folder.exists():
        pytest.skip("the system has no /proc")
    before = len(os.listdir(folder))
    for _ in range(50):
        with connect(server.port) as raw:
            raw.sendall(post(b"[" * (LIMIT + 1)))
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(12) == b"HTTP/1.1 413"
    until = time.monotonic() + 15
    while len(os.listdir(folder)) > before + 2:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["stream", "whole"])
def test_a_second_signal_ends_it_without_waiting(tmp_path: Path, number: signal.Signals, kind: str) -> None:
    """Whatever runs, and without a traceback."""
    tiny_generator(tmp_path, "gru", "text")
    with ServerProcess(tmp_path) as process, connect(process.port) as raw:
        raw.sendall(generation(max_tokens=10_000, n=16, stream=kind == "stream"))
        process.wait_for_metric("rnnserve_sequences", 16.0)
        process.signal(number)
        until = time.monotonic() + 5
        while "shutting down" not in process.log:
            assert time.monotonic() < until
            time.sleep(0.01)
        process.signal(number)
        started = time.monotonic()
        process.wait(10)
        assert time.monotonic() - started < 3
        assert "Traceback" not in process.log
        assert "CancelledError" not in process.log
