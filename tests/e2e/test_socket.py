"""``WS /generate`` against a real server: what a user does with it, and what a hostile one tries."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.server import ServerProcess


@pytest.fixture
def socket_(server: ServerProcess) -> Iterator[ClientConnection]:
    """An open generation socket."""
    with connect(server.websocket, max_size=None) as connection:
        yield connection


def frames_of(connection: ClientConnection) -> list[dict[str, Any]]:
    """Frames up to the one that ends a generation."""
    frames: list[dict[str, Any]] = [json.loads(connection.recv(timeout=60))]
    while frames[-1]["type"] == "token":
        frames.append(json.loads(connection.recv(timeout=60)))
    return frames


def text_of(frames: list[dict[str, Any]], choice: int = 0) -> str:
    """The text that token frames make."""
    return "".join(one["text"] for one in frames if one["type"] == "token" and one["choice"] == choice)


def ask(connection: ClientConnection, **request: object) -> list[dict[str, Any]]:
    """One generation, whole."""
    connection.send(json.dumps(request))
    return frames_of(connection)


def error_of(connection: ClientConnection, message: str | bytes) -> dict[str, Any]:
    """The error frame that answers a message."""
    connection.send(message)
    frame: dict[str, Any] = json.loads(connection.recv(timeout=10))
    assert frame["type"] == "error"
    assert frame["request_id"]
    return frame


def test_the_socket_gives_the_text_of_the_plain_request(
    socket_: ClientConnection, client: httpx2.Client
) -> None:
    """Same seed, same text, over WebSocket, over HTTP and as events; the done frame has the usage."""
    request = {"prompt": "abc", "max_tokens": 300, "seed": 5, "temperature": 0.9, "n": 2, "logprobs": 1}
    answer = client.post("/generate", json=request).json()
    frames = ask(socket_, **request)
    assert [text_of(frames, choice) for choice in (0, 1)] == [one["text"] for one in answer["choices"]]
    assert frames[-1]["usage"] == answer["usage"]
    assert frames[-1]["seed"] == answer["seed"] == 5
    assert frames[-1]["model"] == answer["model"]
    listed = [entry for frame in frames if frame.get("choice") == 1 for entry in frame["logprobs"]]
    assert listed == answer["choices"][1]["logprobs"]
    events = client.post("/generate", json=request | {"stream": True}).text.split("\n\n")
    parsed = [json.loads(event.partition("data: ")[2]) for event in events if event]
    assert [text_of(parsed, choice) for choice in (0, 1)] == [one["text"] for one in answer["choices"]]
    assert "event: done" in events[-2].splitlines()


def test_any_number_of_generations_in_turn(socket_: ClientConnection) -> None:
    """The socket stays open, and the seed that was drawn repeats the text."""
    first = ask(socket_, prompt="a", max_tokens=50)
    again = ask(socket_, prompt="a", max_tokens=50, seed=first[-1]["seed"])
    assert text_of(again) == text_of(first)
    for length in (1, 2, 3):
        assert ask(socket_, max_tokens=length)[-1]["usage"]["completion_tokens"] == length


def test_frames_tell_the_position_of_their_first_token(socket_: ClientConnection) -> None:
    """With a character model the index is the number of characters before the frame."""
    frames = ask(socket_, max_tokens=500, seed=1)
    position = 0
    for frame in frames[:-1]:
        assert frame["index"] == position
        position += len(frame["text"])
    assert position == 500


def test_stop_ends_a_generation_early_and_keeps_what_was_produced(socket_: ClientConnection) -> None:
    """The done frame says so, and the next request on the socket is served."""
    socket_.send(json.dumps({"max_tokens": 10_000, "seed": 1}))
    first = json.loads(socket_.recv())
    socket_.send('{"type": "stop"}')
    frames = [first, *frames_of(socket_)]
    assert frames[-1]["finish_reason"] == "stopped"
    assert 0 < len(text_of(frames)) < 10_000
    assert frames[-1]["usage"]["completion_tokens"] == len(text_of(frames))
    assert ask(socket_, max_tokens=3)[-1]["finish_reason"] == "length"


def test_a_request_right_behind_a_stop_is_served_next(socket_: ClientConnection) -> None:
    """A client need not wait for the done frame of what it has stopped."""
    socket_.send(json.dumps({"max_tokens": 10_000, "seed": 1}))
    socket_.recv()
    socket_.send('{"type": "stop"}')
    socket_.send(json.dumps({"max_tokens": 4, "seed": 1}))
    assert frames_of(socket_)[-1]["finish_reason"] == "stopped"
    assert frames_of(socket_)[-1]["usage"]["completion_tokens"] == 4


def test_a_stop_with_nothing_to_stop_is_no_mistake(socket_: ClientConnection) -> None:
    """It may have crossed the done frame; it is passed over."""
    socket_.send('{"type": "stop"}')
    assert ask(socket_, max_tokens=2)[-1]["type"] == "done"


def test_a_second_request_while_one_runs_is_refused_and_the_first_goes_on(socket_: ClientConnection) -> None:
    """The error frame says what to do; the running text is unharmed."""
    alone = text_of(ask(socket_, max_tokens=2000, seed=9))
    socket_.send(json.dumps({"max_tokens": 2000, "seed": 9}))
    socket_.send(json.dumps({"max_tokens": 5}))
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != "done":
        frames.append(json.loads(socket_.recv()))
    errors = [frame for frame in frames if frame["type"] == "error"]
    assert len(errors) == 1
    assert "wait for its done frame" in errors[0]["detail"]
    assert text_of(frames) == alone


@pytest.mark.parametrize(
    ("message", "field", "status"),
    [
        ("", "body", 422),
        ("{", "body", 422),
        ("[]", "body", 422),
        ('{"type": "pause"}', "type", 422),
        ('{"type": "stop", "now": true}', "now", 422),
        ('{"type": ["stop"]}', "type", 422),
        ('{"prompt": 3}', "prompt", 422),
        ('{"max_tokens": 0}', "max_tokens", 422),
        ('{"temperature": NaN}', "temperature", 422),
        ('{"unknown": 1}', "unknown", 422),
        ('{"max_tokens": 1000000}', "max_tokens", 422),
        ('{"model": "nobody"}', "model", 404),
        (b'{"prompt": "a"}', "content-type", 415),
        ('{"prompt": "%s"}' % ("a" * 1_100_000), "body", 413),
        ("[" * 50_000, "body", 422),
    ],
)
def test_a_wrong_message_gets_an_error_frame_and_the_socket_lives(
    socket_: ClientConnection, message: str | bytes, field: str, status: int
) -> None:
    """Every mistake is an error frame with the fields of an HTTP problem; the next request is served."""
    frame = error_of(socket_, message)
    assert frame["status"] == status
    assert frame["errors"][0]["field"] == field
    assert frame["problem"].startswith("urn:rnnserve:problem:")
    assert frame["title"]
    assert frame["detail"]
    assert ask(socket_, max_tokens=2)[-1]["type"] == "done"


def test_a_frame_far_over_the_limit_closes_the_socket(socket_: ClientConnection) -> None:
    """Reading on would mean holding it: the close code says too big."""
    # Only the frame's head and its first bytes: a client that goes on sending may be reset by TCP
    # before it reads the close code.
    head = b"\x81\xff" + (4_000_000).to_bytes(8, "big") + b"\0\0\0\0"
    socket_.socket.sendall(head + b'{"prompt": "aaaa')
    with pytest.raises(ConnectionClosed) as closed:
        socket_.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_message_in_many_pieces_is_bounded_as_a_whole(socket_: ClientConnection) -> None:
    """Pieces that are each within the limit do not add up beyond it."""
    pieces = ["{", *[" " * 1000] * 100, '"max_tokens": 2}']
    socket_.send(pieces)
    assert frames_of(socket_)[-1]["type"] == "done"
    with pytest.raises(ConnectionClosed):
        socket_.send([" " * 1_000_000] * 1000)


def test_a_text_frame_that_is_no_text_closes_the_socket(socket_: ClientConnection) -> None:
    """The protocol ends there: WebSocket text is UTF-8."""
    socket_.send(b'{"prompt": "\xff"}', text=True)
    with pytest.raises(ConnectionClosed) as closed:
        socket_.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007


def test_the_first_thousand_and_first_socket_is_turned_away(tiny_models: Path) -> None:
    """Beyond the limit the handshake is answered with 503 and a problem, and a closed one frees its place."""
    with ServerProcess(tiny_models, max_connections=2) as server:
        with connect(server.websocket), connect(server.websocket):
            with pytest.raises(InvalidStatus) as refused:
                connect(server.websocket)
            assert refused.value.response.status_code == 503
            assert json.loads(refused.value.response.body or b"")["type"] == "urn:rnnserve:problem:overloaded"
        server.wait_for_metric("rnnserve_websockets", 0)
        with connect(server.websocket) as connection:
            assert ask(connection, max_tokens=1)[-1]["type"] == "done"


def test_an_idle_socket_is_closed_with_the_reason(tiny_models: Path) -> None:
    """Idle means asking for nothing; a long generation is not idle."""
    with (
        ServerProcess(tiny_models, socket_idle_s=0.3) as server,
        connect(server.websocket, max_size=None) as connection,
    ):
        assert ask(connection, max_tokens=3000)[-1]["type"] == "done"
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
        assert "no request came for 0.3 s" in closed.value.rcvd.reason


def test_a_socket_that_never_reads_is_closed_with_the_reason(tiny_models: Path) -> None:
    """Its generation leaves the engine; the close frame waits behind what it did not read."""
    flags: dict[str, object] = {"max_tokens": 400_000, "max_queued_steps": 10_000_000, "socket_send_s": 3}
    with ServerProcess(tiny_models, **flags) as server:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", server.port))
        # A client that stops taking from its socket as soon as a few frames wait to be read.
        with connect(
            server.websocket, sock=raw, max_queue=1, max_size=None, ping_interval=None
        ) as connection:
            connection.send(json.dumps({"max_tokens": 5_900, "n": 16, "logprobs": 20}))
            server.wait_for_metric("rnnserve_websockets", 0, 60)
            server.wait_for_metric("rnnserve_requests_total", 1, outcome="cancelled")
            server.wait_for_metric("rnnserve_slots_used", 0)
            server.wait_for_log("left frames unread")
            with pytest.raises(ConnectionClosedError):
                list(connection)
            assert connection.close_code == 1008
            assert connection.close_reason == "frames were left unread for 3 s"


def test_a_client_that_does_not_answer_pings_is_closed(tiny_models: Path) -> None:
    """A peer that is gone without a word does not keep its place."""
    with ServerProcess(tiny_models, socket_ping_s=1.0) as server, socket.socket() as raw:
        raw.connect(("127.0.0.1", server.port))
        raw.sendall(
            b"GET /generate HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        server.wait_for_metric("rnnserve_websockets", 1)
        server.wait_for_metric("rnnserve_websockets", 0)
