"""Whose pages may call the service from a browser: CORS for requests, the origin for sockets.

A browser keeps the answers of requests from scripts of other sites, unless the server allows them
(CORS). It does not keep those of sockets: there the server has to look at the origin by itself.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import Forbidden
from app.edge.protocol import error_response

_EXPOSED = (
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "Server-Timing",
    "Traceparent",
    "X-Request-ID",
)
_PREFLIGHT_S = 600


class SameOrigin:
    """Refuses sockets that a script of another site opens. What is no browser sends no origin.

    Only for servers without keys: a foreign script has none, and is refused for that.

    Args:
        app: what it guards.
        allowed: origins besides the server's own, ``scheme://host[:port]``; ``*`` allows all.
    """

    def __init__(self, app: ASGIApp, allowed: tuple[str, ...] = ()) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, socket or lifespan."""
        if scope["type"] == "websocket" and (origin := self._foreign(scope)) is not None:
            error = Forbidden(
                f"a page of {origin} may open no socket here; --cors-origins says whose pages may"
            )
            await error_response(error, scope["state"]["request_id"], scope)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _foreign(self, scope: Scope) -> str | None:
        """The origin, where it is one that is not allowed."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or "*" in self._allowed or origin in self._allowed:
            return None
        host = headers.get(b"host", b"").decode("latin-1").lower()
        try:
            same = urlsplit(origin).netloc.lower() == host
        except ValueError:
            same = False
        return None if same else origin


def allow_origins(app: Starlette, origins: tuple[str, ...]) -> None:
    """Let pages of these origins call the service. There are no cookies, so every header is harmless."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=list(_EXPOSED),
        max_age=_PREFLIGHT_S,
    )
