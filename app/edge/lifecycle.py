"""Whether this process takes new work, what runs, and the sockets that must hear when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from app.core.errors import Draining

_POLL_S = 0.01


class Drainable(Protocol):
    """Something that ends by itself once it is told to."""

    def drain(self) -> None:
        """Finish what runs, then close."""
        ...


class Lifecycle:
    """Ready until told to drain; there is no way back.

    Args:
        started: whether the other workers of the port are ready as well.

    Attributes:
        running: requests that were admitted and have not been answered whole. What is admitted may
            do all it needs, until the grace time is over: a text that ends while the server drains
            is still kept in its session.
    """

    def __init__(self, started: Callable[[], bool] = lambda: True) -> None:
        self.started = started
        self.draining = False
        self.running = 0
        self._sockets: set[Drainable] = set()

    @property
    def num_sockets(self) -> int:
        """Open WebSockets."""
        return len(self._sockets)

    @contextmanager
    def admitted(self, *, again: bool = False) -> Iterator[None]:
        """In the block a request is worked on.

        Args:
            again: it was admitted before, and goes on without a pause in between.

        Raises:
            Draining: no further one is taken.
        """
        if self.draining and not again:
            raise Draining("the server is shutting down")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def enter(self, socket: Drainable) -> None:
        """A socket was opened."""
        self._sockets.add(socket)

    def leave(self, socket: Drainable) -> None:
        """A socket was closed."""
        self._sockets.discard(socket)

    def drain(self) -> None:
        """Take no new work; open sockets finish what runs and close."""
        self.draining = True
        for socket in list(self._sockets):
            socket.drain()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until nothing runs and every socket is closed; whether that was so in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self.running or self._sockets:
            if loop.time() >= until:
                return False
            await asyncio.sleep(_POLL_S)
        return True
