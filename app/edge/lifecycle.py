"""Whether this process takes new work, what runs, and the sockets that must hear when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from app.core.errors import Draining

_POLL_S = 0.01


class Drainable(Protocol):
    def drain(self) -> None: ...


class Lifecycle:
    """Ready until told to drain; ``started`` says whether the port's other workers are ready too."""

    def __init__(self, started: Callable[[], bool] = lambda: True) -> None:
        self.started = started
        self.draining = False
        self.running = 0
        self._sockets: set[Drainable] = set()

    @property
    def num_sockets(self) -> int:
        return len(self._sockets)

    @contextmanager
    def admitted(self, *, again: bool = False) -> Iterator[None]:
        """In the block a request is worked on; raises Draining unless it was admitted before (``again``)."""
        if self.draining and not again:
            raise Draining("the server is shutting down")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def enter(self, socket: Drainable) -> None:
        self._sockets.add(socket)

    def leave(self, socket: Drainable) -> None:
        self._sockets.discard(socket)

    def drain(self) -> None:
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
