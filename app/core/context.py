"""What belongs to a request wherever its work is done: a context variable, so that nothing need carry it."""

from __future__ import annotations

import hashlib
import secrets
from contextvars import ContextVar
from typing import NamedTuple


class RequestContext(NamedTuple):
    """The ids of a request.

    Attributes:
        request_id: in every line that is logged for it.
        trace_id: of the W3C trace that it belongs to, 32 hexadecimal digits.
        routing_key: decides which version of a model answers where they share its requests; one key gets
            the same version on every server and after every restart.
    """

    request_id: str
    trace_id: str | None
    routing_key: str


# One variable: each is copied with every task.
REQUEST: ContextVar[RequestContext | None] = ContextVar("request", default=None)

_WHOLE = 2**64


def routing_key() -> str:
    """The key of the present request; drawn where there is none."""
    request = REQUEST.get()
    return secrets.token_hex(8) if request is None else request.routing_key


def position_of(name: str, key: str) -> float:
    """The position of a key in ``[0, 1)`` for one model: uniform, and independent between models."""
    digest = hashlib.blake2b(f"{name}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _WHOLE
