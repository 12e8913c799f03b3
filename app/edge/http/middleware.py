"""Around every request: its ids in and out (W3C Trace Context), its count, and the last net for failures."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.context import REQUEST, RequestContext
from app.core.errors import Forbidden
from app.edge.errors import is_internal
from app.edge.http.source import Source, SourceRules
from app.edge.http.transports import RESPOND
from app.edge.protocol import error_response
from app.telemetry.logging import log_access
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

SUBPROTOCOL = "rnnserve"
"""Chosen when a socket's client offers it; browsers give up on a socket whose offers are ignored."""

_REQUEST_ID = b"x-request-id"
_TRACEPARENT = b"traceparent"
# Keeps a client on one side, where versions of a model share its requests.
_ROUTING_KEY = b"x-routing-key"
_HOST = b"host"
_ORIGIN = b"origin"
_SITE = b"sec-fetch-site"
_WANTED = frozenset({_REQUEST_ID, _TRACEPARENT, _ROUTING_KEY, _HOST, _ORIGIN, _SITE})
# Without it a browser may take an answer for something else than it says it is.
_NOSNIFF = (b"x-content-type-options", b"nosniff")

_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Version, trace id, span id, flags; later versions may add fields. Ids of zeros alone are invalid.
_TRACE = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-[\x20-\x7e]*)?"
)


class RequestScope:
    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        tracing: Tracing | None = None,
        *,
        access_log: bool = False,
        rules: SourceRules,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._access_log = access_log
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["path"].endswith("/") and len(scope["path"]) > 1:
            scope["path"] = scope["path"][:-1]
        request_id, trace, key, source = _wanted(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        span = None if self._tracing is None else self._tracing.begin(scope)
        trace_id = None if trace is None else trace[3:35].decode("ascii")
        if span is not None:
            trace_id = span.trace_id
        REQUEST.set(RequestContext(request_id, trace_id, key or request_id))
        added = [(_REQUEST_ID, request_id.encode("ascii")), _NOSNIFF]
        if trace is not None:
            state["traceparent"] = trace
        if span is not None:
            added.append((_TRACEPARENT, span.traceparent))
        elif trace is not None:
            added.append((_TRACEPARENT, _own_span(trace)))
        if scope["type"] == "websocket":
            try:
                self._rules.check(scope, source)
                await self._app(scope, receive, _choosing(scope, send))
            except Forbidden as error:
                await error_response(error, request_id, scope)(scope, receive, send)
            finally:
                if span is not None:
                    span.end(getattr(scope.get("route"), "path", None), 0)
            return
        failure = None
        started = time.perf_counter()
        self._metrics.in_flight.inc()
        tagged = TaggedSend(send, scope, added)
        try:
            self._rules.check(scope, source)
            await self._app(scope, receive, tagged)
        except Exception as error:
            if is_internal(error):
                failure = type(error).__name__
                logger.exception(
                    "%s %s failed", scope["method"], getattr(scope.get("route"), "path", "other")
                )
            if tagged.status:
                # The answer has begun, so the connection is all that is left to break.
                raise
            await error_response(error, request_id, scope)(scope, receive, tagged)
        finally:
            # The path template: paths themselves are the client's invention and no label.
            template: str | None = getattr(scope.get("route"), "path", None)
            route, seconds = template or "other", time.perf_counter() - started
            self._metrics.in_flight.dec()
            self._metrics.response(route, tagged.status, seconds)
            if self._access_log:
                log_access(scope["method"], route, tagged.status, seconds)
            if span is not None:
                span.end(template, tagged.status, failure)


class TaggedSend:
    """An ASGI ``send`` that adds headers, and notes the status; 0 before."""

    __slots__ = ("_added", "_respond", "_scope", "_send", "status")

    def __init__(self, send: Send, scope: Scope, added: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        respond = scope.get("extensions", _NONE).get(RESPOND)
        self._scope = scope
        self._respond = respond if respond is not None and respond.is_behind(scope, send) else None
        self._added = added
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message.setdefault("headers", []).extend(self._added)
        await self._send(message)

    def at_once(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole answer, if the transport can; whether it did."""
        if self._respond is None or not self._respond(self._scope, status, headers + self._added, body):
            return False
        self.status = status
        return True


_NONE: Mapping[str, Any] = {}


def _wanted(scope: Scope) -> tuple[str, bytes | None, str | None, Source]:
    """The request's id, given or drawn, its ``traceparent`` if valid, routing key and source."""
    request_id, trace, key = None, None, None
    host = origin = site = b""
    for name, value in scope["headers"]:
        if name in _WANTED:
            if name == _REQUEST_ID:
                if request_id is None and _ACCEPTED.fullmatch(value):
                    request_id = value.decode("ascii")
            elif name == _HOST:
                host = value
            elif name == _ROUTING_KEY:
                key = value.decode("latin-1")
            elif name == _ORIGIN:
                origin = value
            elif name == _SITE:
                site = value
            elif (found := _TRACE.fullmatch(value)) and (found[1] != b"00" or found[4] is None):
                trace = value
    # It need not be secret, and asking the system for bits hands the interpreter to another thread.
    return request_id or f"{random.getrandbits(64):016x}", trace, key, Source(host, origin, site)


def _own_span(trace: bytes) -> bytes:
    return b"00-%b-%016x-%b" % (trace[3:35], random.getrandbits(64) or 1, trace[53:55])


def _choosing(scope: Scope, send: Send) -> Send:
    """``send``, with our subprotocol put into the acceptance of a client that offers it."""
    if SUBPROTOCOL not in scope.get("subprotocols", ()):
        return send

    async def choose(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message["subprotocol"] = message.get("subprotocol") or SUBPROTOCOL
        await send(message)

    return choose
