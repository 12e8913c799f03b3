"""Whether this process takes new work, and the sockets that must hear when it stops."""

from __future__ import annotations

from typing import Protocol


class Drainable(Protocol):
    """Something that ends by itself once it is told to."""

    def drain(self) -> None:
        """Finish what runs, then close."""
        ...


class Lifecycle:
    """Ready until told to drain; there is no way back."""

    def __init__(self) -> None:
        self.draining = False
        self._sockets: set[Drainable] = set()

    @property
    def num_sockets(self) -> int:
        """Open WebSockets."""
        return len(self._sockets)

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
