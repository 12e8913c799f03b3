"""What decides which version answers, where versions of one model share its requests.

    request --bind_routing_key(header, or the request's id)--> ... --routing_key()--> a version

The key travels in a context variable, so that nothing between the edge and the choice need
carry it. The same key always takes the same side, on every server and after every restart.
"""

from __future__ import annotations

import hashlib
import secrets
from contextvars import ContextVar

_KEY: ContextVar[str | None] = ContextVar("routing_key", default=None)

_WHOLE = 2**64


def bind_routing_key(key: str) -> None:
    """Set the key of the request that the present task serves, and of the tasks it starts."""
    _KEY.set(key)


def routing_key() -> str:
    """The key of the present request; where nobody has set one, it is drawn."""
    key = _KEY.get()
    return secrets.token_hex(8) if key is None else key


def place_of(name: str, key: str) -> float:
    """Where a key lies in ``[0, 1)`` for one model: uniform, and independent between models."""
    digest = hashlib.blake2b(f"{name}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _WHOLE
