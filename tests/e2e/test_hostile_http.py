"""What a hostile or clumsy HTTP client sends, against a real server: a clear problem, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.bundles import HORIZON
from tests.e2e.server import ServerProcess

VALUES = [float(index % 7) for index in range(40)]
SERIES = "tiny-series-lstm"


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document, after checking all that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:rnnserve:problem:{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return document


def whole_answer(raw: socket.socket) -> bytes:
    """Head and body of the next answer."""
    with raw.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n"))
        (length,) = re.findall(rb"content-length: (\d+)", head)
        return head + stream.read(int(length))


def next_event(lines: Iterator[str]) -> str:
    """The name of the next server-sent event."""
    return next(line for line in lines if line.startswith("event: ")).removeprefix("event: ")


def refused(client: httpx2.Client, path: str, body: object, field: str) -> dict[str, Any]:
    """The first field error of a request that must be refused with 422."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    listed: list[dict[str, Any]] = problem(answer, 422, "invalid-input")["errors"]
    assert listed[0]["field"] == field, listed
    return listed[0]


@pytest.mark.parametrize("path", ["/forecast", "/sentiment", "/generate"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"3", "JSON object"),
        (b"null", "JSON object"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"text": "\xc3\x28"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
    ],
)
def test_a_body_that_is_no_request_is_named_as_such(
    client: httpx2.Client, path: str, body: bytes, message: str
) -> None:
    """Empty, cut, deeply nested and wrongly encoded bodies are refused with the reason."""
    assert message in refused(client, path, body, "body")["message"]


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400])
def test_numbers_that_are_not_finite_name_their_element(client: httpx2.Client, literal: bytes) -> None:
    """The position of the element is in the field's path."""
    body = b'{"values": [1.0, 2.0, %s, 4.0], "horizon": 3}' % literal
    assert "finite" in refused(client, "/forecast", body, "values.2")["message"]
    body = b'{"series": [{"values": [1, 2]}, {"values": [%s, 1]}], "horizon": 3}' % literal
    refused(client, "/forecast", body, "series.1.values.0")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"values": VALUES}, "horizon"),
        ({"values": VALUES, "horizon": 0}, "horizon"),
        ({"values": VALUES, "horizon": -3}, "horizon"),
        ({"values": VALUES, "horizon": 10**6}, "horizon"),
        ({"values": VALUES, "horizon": 10**30}, "horizon"),
        ({"values": VALUES, "horizon": 2.5}, "horizon"),
        ({"values": VALUES, "horizon": "3"}, "horizon"),
        ({"values": VALUES, "horizon": True}, "horizon"),
        ({"values": VALUES, "horizon": None}, "horizon"),
        ({"values": [1.0, "2", 3.0], "horizon": 3}, "values.1"),
        ({"values": [1.0, 1e300], "horizon": 3}, "values.1"),
        ({"values": [1.0, [2.0]], "horizon": 3}, "values.1"),
        ({"values": [], "horizon": 3}, "values"),
        ({"values": [7.0], "horizon": 3}, "values"),
        ({"values": [None, None, None], "horizon": 3}, "values"),
        ({"values": [None, 7.0, None], "horizon": 3}, "values"),
        ({"values": "1,2,3", "horizon": 3}, "values"),
        ({"values": None, "horizon": 3}, "values"),
        ({"horizon": 3}, "values"),
        ({"series": [], "horizon": 3}, "series"),
        ({"series": [{"values": VALUES}, {"values": [None]}], "horizon": 3}, "series.1.values"),
        ({"series": [{"values": VALUES, "extra": 1}], "horizon": 3}, "series.0.extra"),
        ({"values": VALUES, "series": [{"values": VALUES}], "horizon": 3}, "values"),
        ({"values": VALUES, "horizon": 3, "horizont": 3}, "horizont"),
        ({"values": VALUES, "horizon": 3, "quantiles": [0.5, 1.0]}, "quantiles.1"),
        ({"values": VALUES, "horizon": 3, "quantiles": []}, "quantiles"),
        ({"values": VALUES, "horizon": 3, "levels": [100]}, "levels.0"),
        ({"values": VALUES, "horizon": 3, "levels": [80], "quantiles": [0.5]}, "levels"),
        ({"values": VALUES, "horizon": 3, "freq": "fortnight"}, "freq"),
        ({"values": VALUES, "horizon": 3, "freq": "h", "start": "yesterday"}, "start"),
        ({"values": VALUES, "horizon": 3, "freq": "h", "start": "2024-13-01"}, "start"),
        ({"values": VALUES, "horizon": 3, "freq": "YS", "start": "9999-01-01"}, "start"),
        ({"values": VALUES, "horizon": 3, "season": 0}, "season"),
        ({"values": VALUES, "horizon": 3, "model": 3}, "model"),
        ({"values": VALUES, "horizon": 3, "model": "x" * 1000}, "model"),
    ],
)
def test_a_wrong_forecast_request_names_its_field(
    client: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is named; what is allowed is said."""
    refused(client, "/forecast", body, field)


def test_a_horizon_beyond_the_models_is_refused_with_the_models_limit(client: httpx2.Client) -> None:
    """The limit in the answer is the one the bundle was trained for."""
    error = refused(client, "/forecast", {"values": VALUES, "horizon": HORIZON + 1}, "horizon")
    assert error["allowed"] == {"min": 1, "max": HORIZON}
    assert str(HORIZON) in error["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text.0"),
        ({"text": "   \n\t "}, "text"),
        ({"text": []}, "text"),
        ({"text": ["good", ""]}, "text.1"),
        ({"text": ["good", "  "]}, "text.1"),
        ({"text": ["good", 3]}, "text.1"),
        ({"text": 3}, "text"),
        ({"text": None}, "text"),
        ({"text": {"a": 1}}, "text"),
        ({"text": "good", "trace": "yes"}, "trace"),
        ({"text": "good " * 30_000}, "text"),
        ({"text": ["good"] * 1001}, "text"),
        ({"texts": "good"}, "text"),
    ],
)
def test_a_wrong_sentiment_request_names_its_field(
    client: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is named."""
    refused(client, "/sentiment", body, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": 3}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "a" * 100_001}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": ["a"] * 9}, "stop"),
        ({"stop": 3}, "stop"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": 10**6}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"type": "stop"}, "type"),
    ],
)
def test_a_wrong_generation_request_names_its_field(
    client: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is named, for a stream as well, before the stream begins."""
    refused(client, "/generate", body, field)
    if "stream" not in body:
        refused(client, "/generate", body | {"stream": True}, field)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/forecast", {"values": VALUES, "horizon": 3}),
        ("/sentiment", {"text": "good"}),
        ("/generate", {"prompt": "a"}),
        ("/generate", {"prompt": "a", "stream": True}),
    ],
)
@pytest.mark.parametrize(
    "model", ["nobody", "tiny-series-lstm@9", "../../etc/passwd", "", "@", "tiny-mood-gru@"]
)
def test_an_unknown_model_is_a_404_that_lists_the_known(
    client: httpx2.Client, path: str, body: dict[str, Any], model: str
) -> None:
    """The answer lists the models that serve this task."""
    document = problem(client.post(path, json=body | {"model": model}), 404, "unknown-model")
    assert document["errors"][0]["field"] == "model"
    assert len(document["errors"][0]["allowed"]) == 3


def test_a_model_of_another_task_is_unknown_to_this_one(client: httpx2.Client) -> None:
    """A sentiment request cannot name a forecaster."""
    problem(client.post("/sentiment", json={"text": "good", "model": SERIES}), 404, "unknown-model")


@pytest.mark.parametrize(
    "kind", ["application/xml", "multipart/form-data; boundary=x", "text/csv", "image/png"]
)
def test_a_content_type_that_is_not_read_is_a_415(client: httpx2.Client, kind: str) -> None:
    """The answer says which is."""
    answer = client.post("/sentiment", content=b"good", headers={"content-type": kind})
    document = problem(answer, 415, "unsupported-media")
    assert document["errors"][0]["allowed"] == ["application/json"]


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


def test_ten_thousand_series_at_once_are_answered(client: httpx2.Client) -> None:
    """All of them, in order, each as it would be alone."""
    series = [
        {"id": str(index), "values": [index, index + 1.0, None, index + 3.0]} for index in range(10_000)
    ]
    answer = client.post("/forecast", json={"series": series, "horizon": 2, "quantiles": [0.5]})
    assert answer.status_code == 200
    forecasts = answer.json()["forecasts"]
    assert [one["id"] for one in forecasts] == [str(index) for index in range(10_000)]
    alone = client.post("/forecast", json={"series": [series[4321]], "horizon": 2, "quantiles": [0.5]})
    assert alone.json()["forecasts"][0] == forecasts[4321]


def test_more_series_than_the_limit_are_refused_with_the_limit(client: httpx2.Client) -> None:
    """10,001 series are one too many."""
    series = [{"values": [1.0, 2.0]}] * 10_001
    error = refused(client, "/forecast", {"series": series, "horizon": 2}, "series")
    assert error["allowed"] == {"max": 10_000}


def test_a_million_unknown_fields_are_refused_without_listing_them(client: httpx2.Client) -> None:
    """The answer stays small."""
    body = b"{" + b",".join(b'"%d":1' % index for index in range(1_000_000)) + b"}"
    started = time.monotonic()
    error = refused(client, "/generate", body, "body")
    assert "mistakes" in error["message"]
    assert time.monotonic() - started < 60


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


def test_a_client_that_goes_away_takes_its_sequences_with_it(server: ServerProcess) -> None:
    """A plain request whose client disconnects is cancelled; no slot stays in use."""
    model = "tiny-text-rnn"
    before = server.metric("rnnserve_requests_total", model=f"{model}@1", outcome="cancelled")
    body = json.dumps({"prompt": "a", "max_tokens": 10_000, "n": 8, "model": model}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        server.wait_for_metric("rnnserve_slots_used", 8, model=f"{model}@1")
    server.wait_for_metric("rnnserve_requests_total", before + 1, model=f"{model}@1", outcome="cancelled")
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
        assert "left events unread" in server.log
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
