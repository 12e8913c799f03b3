"""What a hostile or clumsy HTTP client does, against a real server: a clear problem, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.problems import problem
from tests.e2e.server import ServerProcess


def whole_answer(raw: socket.socket) -> bytes:
    """Head and body of the next answer."""
    with raw.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n"))
        (length,) = re.findall(rb"content-length: (\d+)", head)
        return head + stream.read(int(length))


def next_event(lines: Iterator[str]) -> str:
    """The name of the next server-sent event."""
    return next(line for line in lines if line.startswith("event: ")).removeprefix("event: ")


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: ServerProcess) -> None:
    """A length announced as too large is answered at once; not one byte of the body was needed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /sentiment HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n")
        answer = whole_answer(raw)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"max_bytes":16777216' in answer


def test_a_body_without_a_length_is_cut_off_at_the_limit(client: httpx2.Client) -> None:
    """A chunked body that goes on and on gets its 413 long before its end."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2**30:
            sent += 2**20
            yield b" " * 2**20

    try:
        answer = client.post("/sentiment", content=chunks())
    except httpx2.WriteError:
        pytest.fail("the connection was cut before the answer was read")
    problem(answer, 413, "payload-too-large")


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/forecast", 405, "method-not-allowed"),
        ("DELETE", "/sentiment", 405, "method-not-allowed"),
        ("POST", "/models", 405, "method-not-allowed"),
        ("GET", "/models/nobody", 404, "unknown-model"),
        ("GET", "/models/tiny-text-lstm@2", 404, "unknown-model"),
        ("GET", "/models/..%2f..%2fetc%2fpasswd", 404, "not-found"),
    ],
)
def test_wrong_addresses_and_methods_are_problems_too(
    client: httpx2.Client, method: str, path: str, status: int, slug: str
) -> None:
    """Nothing answers with anything but a problem document."""
    problem(client.request(method, path), status, slug)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123", True), ("a" * 128, True), ("a" * 129, False), ("with space", False), ("<script>", False)],
)
def test_a_request_id_comes_back_when_it_is_harmless(client: httpx2.Client, given: str, kept: bool) -> None:
    """A caller's id is echoed in the header and the problem; anything odd is replaced."""
    answer = client.get("/nothing", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_bytes_that_are_not_http_are_refused(server: ServerProcess) -> None:
    """Garbage gets a 400 and the connection is closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 400")


def test_headers_without_end_are_cut_off(server: ServerProcess) -> None:
    """A head over the limit is refused, in one header or in many, and not collected."""
    for piece in (b"a" * 65536, b"x-many: y\r\n" * 6000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ")
            answer = b""
            for _ in range(1024):
                try:
                    raw.sendall(piece)
                except (BrokenPipeError, ConnectionResetError):
                    break
            else:
                pytest.fail("sixty megabytes of headers was taken")
            with contextlib.suppress(ConnectionResetError):
                answer = raw.recv(65536)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    with server.client() as client:
        assert client.get("/healthz").status_code == 200


def test_large_bodies_and_following_requests_are_not_taken_for_headers(client: httpx2.Client) -> None:
    """Requests with bodies over the head's limit pass, one after the other on one connection."""
    for _ in range(5):
        answer = client.post("/sentiment", json={"text": ["good " * 5000] * 10})
        assert answer.status_code == 200
        assert client.get("/healthz").status_code == 200


def test_compression_is_no_way_around_the_bodys_limit(client: httpx2.Client) -> None:
    """Gzip is read up to the limit of what it holds; an encoding that is not read is a 415."""
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    body = b'{"text": "good"}'
    assert client.post("/sentiment", content=gzip.compress(body), headers=headers).status_code == 200
    bomb = gzip.compress(b" " * 64 * 2**20 + body)
    problem(client.post("/sentiment", content=bomb, headers=headers), 413, "payload-too-large")
    answer = client.post("/sentiment", content=body, headers={**headers, "content-encoding": "br"})
    problem(answer, 415, "unsupported-media")


def test_a_body_that_never_arrives_is_given_up(tiny_models: Path) -> None:
    """A client that announces a body and sends half of it is answered when its time is over."""
    with (
        ServerProcess(tiny_models, request_timeout_s=0.3) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw,
    ):
        raw.sendall(b'POST /sentiment HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"text": ')
        assert raw.recv(65536).startswith(b"HTTP/1.1 504")


def test_a_client_that_goes_away_takes_its_sequences_with_it(tiny_models: Path) -> None:
    """A plain request whose client disconnects is cancelled; no slot stays in use."""
    model = "tiny-text-rnn"
    # Far more than is made until the client is gone.
    body = json.dumps({"prompt": "a", "max_tokens": 400_000, "n": 8}).encode()
    flags: dict[str, object] = {"max_tokens": 400_000, "max_queued_steps": 10_000_000}
    with ServerProcess(tiny_models, default=f"generate={model}", **flags) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(
                b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
            )
            server.wait_for_metric("rnnserve_slots_used", 8, model=f"{model}@1")
        server.wait_for_metric("rnnserve_requests_total", 1, model=f"{model}@1", outcome="cancelled")
        server.wait_for_metric("rnnserve_slots_used", 0, model=f"{model}@1")
        assert "Traceback" not in server.log


def test_a_stream_whose_client_goes_away_is_cancelled(server: ServerProcess) -> None:
    """The same for server-sent events."""
    model = "tiny-text-gru"
    before = server.metric("rnnserve_requests_total", model=f"{model}@1", outcome="cancelled")
    with (
        server.client() as client,
        client.stream(
            "POST", "/generate", json={"max_tokens": 10_000, "stream": True, "model": model}
        ) as answer,
    ):
        assert next_event(answer.iter_lines()) == "token"
    server.wait_for_metric("rnnserve_requests_total", before + 1, model=f"{model}@1", outcome="cancelled")
    server.wait_for_metric("rnnserve_slots_used", 0, model=f"{model}@1")
    assert "Traceback" not in server.log


def test_a_stream_that_is_never_read_is_dropped(tiny_models: Path) -> None:
    """A client that asks for events and reads none is cut off; its generation leaves the engine."""
    body = json.dumps({"max_tokens": 5_900, "n": 16, "stream": True, "logprobs": 20}).encode()
    flags: dict[str, object] = {"max_tokens": 400_000, "max_queued_steps": 10_000_000, "socket_send_s": 0.5}
    with ServerProcess(tiny_models, **flags) as server, socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", server.port))
        raw.sendall(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        server.wait_for_metric("rnnserve_requests_total", 1, 60, outcome="cancelled")
        server.wait_for_metric("rnnserve_slots_used", 0)
        server.wait_for_log("left events unread")
        raw.settimeout(20)
        assert received_until_the_end(raw) > 0


def received_until_the_end(raw: socket.socket) -> int:
    """Bytes that were still on their way when the server closed or reset the connection."""
    count = 0
    try:
        while chunk := raw.recv(2**20):
            count += len(chunk)
    except ConnectionResetError:
        pass
    return count


def test_a_full_queue_is_a_503_that_says_when_to_come_back(tiny_models: Path) -> None:
    """Work beyond the queue's limit is refused at once, with Retry-After; the rest is answered."""
    flags: dict[str, object] = {"max_queued_steps": 6000, "max_tokens": 6000}
    with (
        ServerProcess(tiny_models, **flags) as server,
        server.client() as client,
        server.client() as other,
        client.stream("POST", "/generate", json={"max_tokens": 5900, "stream": True}) as running,
    ):
        lines = running.iter_lines()
        assert next_event(lines) == "token"
        answer = other.post("/generate", json={"max_tokens": 5900})
        document = problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert document["retry_after_s"] >= 1
        assert other.post("/generate", json={"max_tokens": 10}).status_code == 200
        assert [line for line in lines if line.startswith("event:")][-1] == "event: done"


def test_a_deadline_ends_a_request_with_504(tiny_models: Path) -> None:
    """A request that takes longer than its time is told so."""
    with ServerProcess(tiny_models, request_timeout_s=0.2) as server, server.client() as client:
        answer = client.post("/generate", json={"max_tokens": 10_000, "n": 16})
        problem(answer, 504, "deadline-exceeded")
        assert client.post("/generate", json={"max_tokens": 3}).status_code == 200
