"""What ``app.edge.http`` uses of its libraries beyond their documented interfaces, name by name.

The versions are pinned to the minor one in ``pyproject.toml``. Where this fails after an update, look at what
the library does now under that name, then at the module that is named here.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.server import ServerProtocol

from tests.e2e.server import REPOSITORY

SERVER = "app/edge/http/server.py"
HTTP = "app/edge/http/http_connection.py"
READER = "app/edge/http/request_reader.py"
SOCKET = "app/edge/http/websocket_connection.py"

ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    HTTP: {
        "Config": ("loaded_app", "root_path", "asgi_version", "ws_protocol_class", "timeout_keep_alive"),
        "ServerState": ("connections", "tasks", "default_headers", "total_requests"),
    },
    SERVER: {"Server": ("server_state", "should_exit", "force_exit", "started")},
    SOCKET: {
        "WebSocketsSansIOProtocol": (
            "app",
            "close_sent",
            "close_timer",
            "conn",
            "curr_msg_data_type",
            "disconnected",
            "frames",
            "handshake_complete",
            "handshake_initiated",
            "initial_response",
            "loop",
            "pong_timer",
            "queue",
            "read_paused",
            "transport",
            "writable",
        ),
        "ServerProtocol": (
            "close_sent",
            "handshake_exc",
            "parser",
            "parser_exc",
            "reader",
            "state",
        ),
        "StreamReader": ("buffer", "discard"),
    },
}

METHODS: list[tuple[str, Callable[..., Any], list[str]]] = [
    (SERVER, uvicorn.Server.startup, ["self", "sockets"]),
    (SERVER, uvicorn.Server.shutdown, ["self", "sockets"]),
    (SERVER, uvicorn.Server.handle_exit, ["self", "sig", "frame"]),
    *[
        (SOCKET, getattr(WebSocketsSansIOProtocol, name), ["self", *parameters])
        for name, parameters in {
            "__init__": ["config", "server_state", "app_state", "_loop"],
            "connection_made": ["transport"],
            "connection_lost": ["exc"],
            "data_received": ["data"],
            "handle_bytes": ["event"],
            "handle_connect": ["event"],
            "handle_cont": ["event"],
            "handle_parser_exception": [],
            "handle_ping": [],
            "handle_pong": ["event"],
            "handle_text": ["event"],
            "keepalive_timeout": [],
            "receive": [],
            "run_asgi": [],
            "schedule_ping": [],
            "send": ["message"],
            "send_500_response": [],
            "send_keepalive_ping": [],
            "send_receive_event_to_app": [],
            "shutdown": [],
            "stop_keepalive": [],
        }.items()
    ],
    (SOCKET, ServerProtocol.reject, ["self", "status", "text"]),
    (SOCKET, ServerProtocol.send_close, ["self", "code", "reason"]),
    (SOCKET, ServerProtocol.send_text, ["self", "data", "fin"]),
    (SOCKET, ServerProtocol.data_to_send, ["self"]),
    (SOCKET, Response, ["status_code", "reason_phrase", "headers", "body", "_exception"]),
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Nothing is served."""


@pytest.mark.parametrize("module", ATTRIBUTES)
async def test_the_attributes_are_there(module: str) -> None:
    config = uvicorn.Config(app, log_config=None)
    config.load()
    socket = WebSocketsSansIOProtocol(config, ServerState(), {})
    owners: list[Any] = [
        config,
        ServerState(),
        uvicorn.Server(config),
        socket,
        socket.conn,
        socket.conn.reader,
    ]
    for kind, names in ATTRIBUTES[module].items():
        owner = next(owner for owner in owners if type(owner).__name__ == kind)
        missing = [name for name in names if not hasattr(owner, name)]
        assert not missing, f"{kind} has no {missing} any more: see {module}"


@pytest.mark.parametrize(
    ("module", "method", "parameters"), METHODS, ids=[method.__qualname__ for _, method, _ in METHODS]
)
def test_the_methods_take_what_they_took(
    module: str, method: Callable[..., Any], parameters: list[str]
) -> None:
    found = list(inspect.signature(method).parameters)
    assert found == parameters, f"{method.__qualname__} takes {found} now: see {module}"


def test_the_parser_stops_at_an_offer_of_another_protocol() -> None:
    """And says where, having reported the head as the whole request; a new parser reads the rest."""
    events: list[object] = []

    class Told:
        def on_headers_complete(self) -> None:
            events.append(parser.should_upgrade())

        def on_message_complete(self) -> None:
            events.append("complete")

    parser = httptools.HttpRequestParser(Told())
    head = b"POST / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\ncontent-length: 5\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as offer:
        parser.feed_data(head + b"hello")
    assert (events, offer.value.args) == ([True, "complete"], (len(head),)), f"see {READER}"
    assert (parser.get_method(), parser.get_http_version()) == (b"POST", "1.1")


def test_a_frame_says_what_it_is() -> None:
    frame = Frame(Opcode.TEXT, b"x")
    assert (frame.opcode, bytes(frame.data), frame.fin) == (1, b"x", True), f"see {SOCKET}"


@pytest.mark.parametrize("name", ["uvicorn", "httptools", "websockets"])
def test_the_versions_are_pinned_to_those_that_were_tested(name: str) -> None:
    major, minor = map(int, version(name).split(".")[:2])
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f"{name}>={major}.{minor},<{major}.{minor + 1}" in project["dependencies"]
