"""What one connection may ask for: floods are cut off, neighbours are answered, and handshakes end."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.security.raw import (
    FORECAST,
    KEY,
    OFFER,
    close_code,
    connect,
    frame,
    open_websocket,
    post,
    read_answer,
)

CONT, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10
# What a server on two busy cores may keep a neighbour waiting.
MAX_WAIT_S = 1.0
CHUNKED = post(b"", b"transfer-encoding: chunked", announced=False)
ONE_CHUNK = b"%x\r\n%b\r\n" % (len(FORECAST), FORECAST)


@pytest.fixture(scope="module")
def server(one_model: Path) -> Iterator[ServerProcess]:
    with ServerProcess(one_model, sessions="memory:") as process:
        yield process
        print(process.log)
        assert "Traceback" not in process.log
        assert "ASGI" not in process.log
        assert "ERROR" not in process.log.upper().replace('error":', "")


class Neighbour:
    """Asks ten times a second, from a thread; a context manager.

    Attributes:
        longest_s: that an answer took.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.longest_s = 0.0

    def _ask(self) -> None:
        with connect(self._port) as raw, raw.makefile("rb") as stream:
            while not self._over.is_set():
                started = time.monotonic()
                raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                assert read_answer(stream).status == 200
                self.longest_s = max(self.longest_s, time.monotonic() - started)
                time.sleep(0.1)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def pour(raw: socket.socket, piece: bytes, limit: int) -> bool:
    """Whether the other side ends it before so many bytes are sent."""
    with contextlib.suppress(ConnectionError):
        for _ in range(limit // len(piece)):
            raw.sendall(piece)
        return False
    return True


HTTP_FLOODS = {
    "trailers": (CHUNKED + ONE_CHUNK + b"0\r\n", b"x-forwarded-for: 1.2.3.4\r\n" * 2000),
    "small-trailers": (CHUNKED + ONE_CHUNK + b"0\r\n", b"a:\r\n" * 16000),
    "one-trailer": (CHUNKED + ONE_CHUNK + b"0\r\nx: ", b"y" * 65536),
    "extensions": (CHUNKED, b"1;" + b"e" * 60000 + b"\r\n[\r\n"),
    "one-extension": (CHUNKED + b"1;", b"e" * 65536),
    "headers": (b"POST /forecast HTTP/1.1\r\nhost: x\r\n", b"a:\r\n" * 16000),
}
SOCKET_FLOODS = {
    "empty-fragments": (frame(TEXT, fin=False), frame(CONT, fin=False) * 10_000),
    "small-fragments": (frame(BINARY, fin=False), frame(CONT, b"x", fin=False) * 8_000),
    "pings": (b"", frame(PING) * 10_000),
    "full-pings": (b"", frame(PING, b"x" * 125) * 500),
    "pongs": (b"", frame(PONG, b"1234") * 6_000),
    "pings-in-a-message": (frame(TEXT, b"{", fin=False), frame(PING) * 10_000),
}


@pytest.mark.parametrize("name", HTTP_FLOODS)
def test_a_flood_in_a_request_is_cut_off(server: ServerProcess, name: str) -> None:
    """With a problem, and the neighbour does not notice."""
    first, piece = HTTP_FLOODS[name]
    with Neighbour(server.port) as neighbour, connect(server.port) as raw:
        raw.sendall(first)
        assert pour(raw, piece, 64 * 2**20)
    assert neighbour.longest_s < MAX_WAIT_S
    with connect(server.port) as raw:
        raw.sendall(first + piece * (200_000 // len(piece)))
        with raw.makefile("rb") as stream:
            answer = read_answer(stream)
            assert answer.status in (400, 422)
            assert answer.headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize("name", SOCKET_FLOODS)
def test_a_flood_of_frames_is_cut_off(server: ServerProcess, name: str) -> None:
    first, piece = SOCKET_FLOODS[name]
    with Neighbour(server.port) as neighbour, open_websocket(server.port) as raw:
        raw.sendall(first)
        assert pour(raw, piece, 64 * 2**20)
    assert neighbour.longest_s < MAX_WAIT_S
    with open_websocket(server.port) as raw:
        raw.sendall(first + piece)
        assert close_code(raw) == 1008


ENDLESS = {
    "pipelined": (b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 2000),
    "chunks-of-one-byte": (CHUNKED, b"1\r\n[\r\n" * 10_000),
    "empty-texts": (None, frame(TEXT) * 10_000),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_client_that_asks_without_end_does_not_hold_up_its_neighbour(
    server: ServerProcess, name: str
) -> None:
    """What it may send is taken a little at a time."""
    first, piece = ENDLESS[name]
    attack = open_websocket(server.port) if first is None else connect(server.port)
    with attack as raw, Neighbour(server.port) as neighbour, contextlib.suppress(OSError):
        raw.settimeout(2)
        raw.sendall(first or b"")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            raw.sendall(piece)
    assert neighbour.longest_s < MAX_WAIT_S


def test_requests_and_frames_in_one_piece_are_all_answered(server: ServerProcess) -> None:
    """However many, in their order, with bodies, and with a WebSocket at the end."""
    bodies = [b'{"values": [1, 2, %d], "horizon": 1}' % value for value in range(1000)]
    with connect(server.port, 60) as raw:
        sending = threading.Thread(target=raw.sendall, args=(b"".join(map(post, bodies)),))
        sending.start()
        with raw.makefile("rb") as stream:
            means = [read_answer(stream).document["forecasts"][0]["mean"][0] for _ in bodies]
        sending.join()
    assert len(set(means)) > 900
    alone = []
    with connect(server.port) as raw, raw.makefile("rb") as stream:
        for body in bodies[::100]:
            raw.sendall(post(body))
            alone.append(read_answer(stream).document["forecasts"][0]["mean"][0])
    assert means[::100] == alone
    with open_websocket(server.port) as raw:
        markers = [b'{"type": "marker", "marker": "%d"}' % index for index in range(3000)]
        sending = threading.Thread(target=raw.sendall, args=(b"".join(frame(TEXT, one) for one in markers),))
        sending.start()
        with raw.makefile("rb") as stream:
            for index in range(3000):
                _, length = stream.read(2)
                assert b'"%d"' % index in stream.read(length)
        sending.join()


def test_what_is_no_flood_is_taken(server: ServerProcess) -> None:
    """Bytes one by one in chunks of their own, some trailers, a message in many fragments, and pings."""
    small = b"".join(b"1\r\n%c\r\n" % byte for byte in FORECAST)
    with connect(server.port) as raw:
        raw.sendall((CHUNKED + small + b"0\r\nx-sum: 1\r\nx-time: 2\r\n\r\n") * 50)
        with raw.makefile("rb") as stream:
            assert [read_answer(stream).status for _ in range(50)] == [200] * 50
    message = b'{"type": "marker", "marker": "%b"}' % (b"x" * 800)
    with open_websocket(server.port) as raw:
        frames = [frame(CONT, message[index : index + 1], fin=False) for index in range(1, len(message))]
        raw.sendall(frame(TEXT, message[:1], fin=False) + b"".join(frames) + frame(PING) * 50 + frame(CONT))
        with raw.makefile("rb") as stream:
            kinds = [stream.read(2)[0] & 0x0F for _ in range(50)]
            assert kinds == [PONG] * 50
            assert stream.read(1)[0] & 0x0F == TEXT


@pytest.mark.parametrize("name", [b"X-Api-Key", b"X-Forwarded-For", b"Traceparent", b"Host"])
@pytest.mark.parametrize("cut", [1, 10_000])
def test_trailers_are_no_headers(server: ServerProcess, name: bytes, cut: int) -> None:
    """Neither of their own request nor of the next."""
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wire = CHUNKED + ONE_CHUNK + b"0\r\n%b: %b\r\nx-request-id: smuggled\r\n\r\n" % (name, trace)
    wire += post(FORECAST)
    with connect(server.port) as raw:
        for index in range(0, len(wire), cut):
            raw.sendall(wire[index : index + cut])
        with raw.makefile("rb") as stream:
            for _ in range(2):
                answer = read_answer(stream)
                assert answer.status == 200
                assert answer.headers[b"x-request-id"] != b"smuggled"
                assert b"traceparent" not in answer.headers


BAD_HANDSHAKES = {
    "body": (OFFER + KEY + b"content-length: 5\r\n\r\n", 400),
    "chunked": (OFFER + KEY + b"transfer-encoding: chunked\r\n\r\n", 400),
    "long-header": (OFFER + KEY + b"cookie: " + b"x" * 9000 + b"\r\n\r\n", 431),
    "many-headers": (OFFER + KEY + b"x-many: y\r\n" * 200 + b"\r\n", 431),
    "no-key": (OFFER + b"sec-websocket-version: 13\r\n\r\n", 400),
    "old-version": (OFFER + KEY.replace(b"13", b"8") + b"\r\n", 400),
    "elsewhere": (OFFER + KEY + b"\r\n", 404),
}


@pytest.mark.parametrize("name", BAD_HANDSHAKES)
@pytest.mark.parametrize("extra", [b"", b"hello", b"\x81\x80\0\0\0\0" * 1000], ids=["", "body", "frames"])
def test_a_handshake_that_cannot_be_taken_is_answered(server: ServerProcess, name: str, extra: bytes) -> None:
    """As a problem, at once, whatever is sent behind it; then the connection ends."""
    rest, status = BAD_HANDSHAKES[name]
    path = b"/nowhere" if name == "elsewhere" else b"/sessions"
    with connect(server.port) as raw, raw.makefile("rb") as stream:
        raw.sendall(b"GET %b HTTP/1.1\r\nhost: x\r\n" % path + rest + extra)
        answer = read_answer(stream)
        # What is no frame is seen before the application has looked at the address.
        status = 400 if extra == b"hello" and status == 404 else status
        assert (answer.status, answer.document["status"]) == (status, status)
        assert answer.headers[b"content-type"] == b"application/problem+json"
        assert stream.read() == b""


@pytest.mark.parametrize(
    "wire",
    [
        b"nonsense\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"POST /forecast HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        CHUNKED.replace(b"host", b"content-length: 3\r\nhost") + b"0\r\n\r\n",
        CHUNKED + ONE_CHUNK + b"0\r\ncontent-length: 3\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
    ],
)
def test_what_is_no_request_is_answered_with_a_problem(server: ServerProcess, wire: bytes) -> None:
    """Behind the answers to the requests before it."""
    with connect(server.port) as raw, raw.makefile("rb") as stream:
        raw.sendall(post(FORECAST) + wire)
        assert read_answer(stream).status == 200
        answer = read_answer(stream)
        assert (answer.status, answer.document["status"], answer.document["title"]) == (
            400,
            400,
            "Bad Request",
        )
        assert answer.headers[b"content-type"] == b"application/problem+json"
        assert answer.headers[b"x-request-id"].decode() == answer.document["request_id"]
        assert stream.read() == b""


def test_text_that_is_not_utf8_closes_the_socket(server: ServerProcess) -> None:
    """With the code that says so, in one frame or in two, and nothing in the log."""
    for frames in (frame(TEXT, b"\xff\xfe"), frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"(")):
        with open_websocket(server.port) as raw:
            raw.sendall(frames)
            assert close_code(raw) == 1007


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(3), 1002),
        (frame(CONT), 1002),
        (b"\x81\x01x", 1002),
        (frame(TEXT, fin=False) * 2, 1002),
        (b"\x82\xff" + (2**40).to_bytes(8) + bytes(4), 1009),
    ],
)
def test_wrong_frames_are_told_why(server: ServerProcess, wire: bytes, code: int) -> None:
    """The close frame arrives, though more was sent than is read."""
    with open_websocket(server.port) as raw:
        raw.sendall(wire + b"\x00" * 500_000)
        assert close_code(raw) == code


def test_connections_may_be_as_many_as_the_system_allows(one_model: Path) -> None:
    """Whatever the shell that started it had for a limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1024:
        pytest.skip("the system allows too few")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with ServerProcess(one_model) as process:
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
