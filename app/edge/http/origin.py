"""Whose pages may call the service from a browser: CORS for requests, the origin for sockets."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from app.core.errors import Forbidden

_EXPOSED = (
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "Server-Timing",
    "Traceparent",
    "X-Request-ID",
)
_PREFLIGHT_S = 600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def check_origin(scope: Scope, origin: str, allowed: frozenset[str]) -> None:
    """Raises Forbidden for what a script of another site could change. Only browsers send an origin."""
    if "*" in allowed or origin in allowed or scope.get("method") in _SAFE:
        return
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    try:
        same = urlsplit(origin).netloc.lower() == host.decode("latin-1").lower()
    except ValueError:
        same = False
    if not same:
        what = "open no socket" if scope["type"] == "websocket" else "change nothing"
        raise Forbidden(f"a page of {origin} may {what} here; --cors-origins says whose pages may")


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
