"""How many connections a process has, and which of them leave when more come than there may be."""

from __future__ import annotations

import asyncio

LEAST_OTHERS = 64
"""Descriptors that are kept for everything but connections: bundles, stores, logs."""
MOST = 16_384


class Room:
    """All connections from their first moment on, handshakes included.

    Some wait for their client to say something: the next request, the rest of one, its own end. When there
    are too many, the one that has waited longest is dropped for the new one. So whoever opens connections
    without end takes the place of its own, and whoever asks at once is heard. A connection that has shown a
    valid key is never dropped for another.
    """

    def __init__(self) -> None:
        self.most = MOST
        self.limit = MOST
        self.num_open = 0
        self._waiting: dict[asyncio.BaseTransport, None] = {}

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def fit(self, max_descriptors: int) -> None:
        """Set the limit for a process that may have so many descriptors."""
        self.limit = max(1, min(self.most, max_descriptors - LEAST_OTHERS))

    @property
    def max_sockets(self) -> int:
        """How many may be WebSockets, so that requests are still heard."""
        return max(1, self.limit * 7 // 8)

    def enter(self, transport: asyncio.BaseTransport) -> None:
        self.num_open += 1
        self._waiting[transport] = None
        if self.num_open > self.limit:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.abort()  # type: ignore[attr-defined]  # of every stream transport

    def wait(self, transport: asyncio.BaseTransport) -> None:
        """It waits for its client from now on."""
        self._waiting.pop(transport, None)
        self._waiting[transport] = None

    def work(self, transport: asyncio.BaseTransport) -> None:
        """Its client waits for the server."""
        self._waiting.pop(transport, None)

    def leave(self, transport: asyncio.BaseTransport) -> None:
        self.num_open -= 1
        self._waiting.pop(transport, None)


room = Room()
