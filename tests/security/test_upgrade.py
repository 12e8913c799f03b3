"""Offers of another protocol that are not taken are ignored: no body is lost, or taken for a request."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.security.raw import FORECAST, KEY, OFFER, Answer, connect, post, read_answer

SETTINGS = b"http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"
OFFERS = {
    "none": (),
    "h2c": (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", SETTINGS),
    "websocket": (b"connection: upgrade", b"upgrade: websocket", KEY.rstrip(b"\r\n")),
    "unknown": (b"connection: keep-alive, Upgrade", b"upgrade: foo"),
    "several": (b"connection: upgrade", b"upgrade: h2c, websocket", b"upgrade: foo"),
}
NEXT = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
HIDDEN = b"DELETE /sessions/x HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(one_model: Path) -> Iterator[ServerProcess]:
    with ServerProcess(one_model) as process:
        yield process


def chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:7], body[7:])) + b"0\r\n\r\n"


def whole(wire: bytes) -> list[bytes]:
    return [wire]


def in_bytes(wire: bytes) -> list[bytes]:
    return [wire[index : index + 1] for index in range(len(wire))]


def body_later(wire: bytes) -> list[bytes]:
    head, _, rest = wire.partition(b"\r\n\r\n")
    return [head + b"\r\n\r\n", rest]


Cut = Callable[[bytes], list[bytes]]
CUTS: list[Cut] = [whole, in_bytes, body_later]


def ask(port: int, pieces: list[bytes], count: int, pause_s: float = 0.0) -> list[Answer]:
    """So many answers, and nothing behind them."""
    with connect(port) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            raw.sendall(piece)
            time.sleep(pause_s)
        with raw.makefile("rb") as stream:
            answers = [read_answer(stream) for _ in range(count)]
            raw.shutdown(socket.SHUT_WR)
            assert stream.read() == b"", "an answer to what was no request"
    return answers


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_body_behind_an_offer_is_a_body(
    server: ServerProcess, offer: str, is_chunked: bool, cut: Cut
) -> None:
    """The request is answered by what it says, and the one behind it is read as ever."""
    headers = OFFERS[offer]
    if is_chunked:
        wire = post(b"", *headers, b"transfer-encoding: chunked", announced=False) + chunked(FORECAST)
    else:
        wire = post(FORECAST, *headers)
    pause_s = 0.05 if cut is body_later else 0.0
    forecast, health = ask(server.port, [*cut(wire), NEXT], 2, pause_s)
    assert forecast.status == 200, forecast.body
    assert len(forecast.document["forecasts"][0]["mean"]) == 2
    assert health.status == 200


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("cut", CUTS)
def test_no_request_is_smuggled_in_a_body(server: ServerProcess, offer: str, cut: Cut) -> None:
    """A body that looks like a request is one body, and is answered once."""
    refused, health = ask(
        server.port, [*cut(post(HIDDEN, *OFFERS[offer])), NEXT], 2, 0.02 * (cut is not in_bytes)
    )
    assert (refused.status, health.status) == (422, 200), refused.body


@pytest.mark.parametrize("offer", sorted(set(OFFERS) - {"websocket"}))
def test_requests_behind_a_get_with_an_offer_are_answered(server: ServerProcess, offer: str) -> None:
    """All that were sent without waiting, each with an offer of its own."""
    get = b"\r\n".join([b"GET /healthz HTTP/1.1", b"host: x", *OFFERS[offer], b"", b""])
    answers = ask(server.port, [get * 20 + post(FORECAST, *OFFERS[offer]) + NEXT], 22)
    assert [answer.status for answer in answers] == [200] * 22


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_tunnel_is_refused(server: ServerProcess, version: bytes) -> None:
    with connect(server.port) as raw:
        raw.sendall(b"CONNECT other:443 HTTP/%b\r\nhost: other\r\n\r\n" % version + NEXT)
        with raw.makefile("rb") as stream:
            answer = read_answer(stream)
            assert (answer.status, answer.headers[b"connection"]) == (405, b"close")
            assert answer.headers[b"content-type"] == b"application/problem+json"
            assert stream.read() == b""


def test_a_websocket_that_is_offered_behind_a_running_request_is_not_taken(server: ServerProcess) -> None:
    """Its frames would come between that request's answer."""
    offered = b"GET /generate HTTP/1.1\r\nhost: x\r\n" + OFFER + KEY + b"\r\n"
    forecast, plain, health = ask(server.port, [post(FORECAST) + offered + NEXT], 3)
    assert (forecast.status, health.status) == (200, 200)
    assert plain.status in (404, 405)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "options", [["--http2"], ["--http2", "-H", "transfer-encoding: chunked"], ["--http1.1"]]
)
def test_curl_is_answered(server: ServerProcess, options: str) -> None:
    """With its default offer of HTTP/2, twice over one connection."""
    url = f"{server.url}/forecast"
    done = subprocess.run(
        ["curl", "-sS", *options, "-d", FORECAST.decode(), url, url],
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.count(b'"mean"') == 2, done.stdout


_JAVA = """
import java.net.URI;
import java.net.http.*;
public class Ask {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int turn = 0; turn < 3; turn++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[0] + "/forecast"))
                .header("content-type", "application/json")
                .POST(turn == 2
                    ? HttpRequest.BodyPublishers.ofInputStream(
                        () -> new java.io.ByteArrayInputStream(args[1].getBytes()))
                    : HttpRequest.BodyPublishers.ofString(args[1])).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.version());
        }
    }
}
"""


@pytest.mark.skipif(
    shutil.which("java") is None or shutil.which("javac") is None, reason="no JDK is installed"
)
def test_java_is_answered(server: ServerProcess, tmp_path: Path) -> None:
    """With the defaults of its HttpClient, which offers HTTP/2 with its first requests."""
    source = tmp_path / "Ask.java"
    source.write_text(_JAVA)
    subprocess.run(["javac", "-J-Xmx256m", "-d", str(tmp_path), str(source)], check=True, timeout=120)
    done = subprocess.run(
        ["java", "-Xmx256m", "-cp", str(tmp_path), "Ask", server.url, FORECAST.decode()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["200 HTTP_1_1"] * 3, done.stdout + done.stderr


def test_python_is_answered(server: ServerProcess) -> None:
    """The client that comes with it."""
    request = urllib.request.Request(
        f"{server.url}/forecast",
        FORECAST,
        {"content-type": "application/json", "upgrade": "h2c", "connection": "Upgrade"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert len(json.loads(answer.read())["forecasts"][0]["mean"]) == 2
