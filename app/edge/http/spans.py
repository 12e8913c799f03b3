"""The span of a request or a socket, from what ASGI says of it: OpenTelemetry's HTTP conventions."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from app.telemetry.tracing import RequestSpan, Tracing

_USER_AGENT = b"user-agent"


def begin_span(tracing: Tracing, scope: Scope) -> RequestSpan:
    """Begin the span of an HTTP or WebSocket scope, in the trace that its headers name."""
    socket = scope["type"] == "websocket"
    attributes: dict[str, Any] = {
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
    }
    if socket:
        attributes["network.protocol.name"] = "websocket"
    if scope.get("server"):
        attributes["server.address"], attributes["server.port"] = scope["server"]
    if scope.get("client"):
        attributes["client.address"] = scope["client"][0]
    for name, value in scope["headers"]:
        if name == _USER_AGENT:
            attributes["user_agent.original"] = value.decode("latin-1")
    return tracing.begin("GET" if socket else scope["method"], scope["path"], scope["headers"], attributes)
