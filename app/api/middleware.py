"""Around every request: its id in and out, its count, and the last net for failures. Pure ASGI."""

from __future__ import annotations

import logging
import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import is_internal, problem_response
from app.telemetry.logging import bind_request
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class RequestScope:
    """Gives each request an id, counts its answer, and turns what nobody caught into a problem.

    Args:
        app: what it surrounds.
        metrics: where answers are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, socket or lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        bind_request(request_id)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((HEADER, request_id.encode("ascii")))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if is_internal(error):
                logger.exception("%s %s failed", scope["method"], _route(scope))
            if status:
                # The answer has begun, so the connection is all that is left to break.
                raise
            await problem_response(error, request_id)(scope, receive, send_with_id)
        finally:
            self._metrics.response(_route(scope), status)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER and _ACCEPTED.fullmatch(value):
            given: bytes = value
            return given.decode("ascii")
    return secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """The path template; paths themselves are the client's invention and no label."""
    return getattr(scope.get("route"), "path", "other")
