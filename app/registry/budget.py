"""What copying one bundle may cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from app.core.errors import FetchFailed

CHUNK_BYTES = 1 << 20


class Budget:
    """Bytes and seconds that are left, checked at every piece.

    Args:
        max_bytes: of all files together.
        seconds: from now.
        stopped: set when nobody needs the copy any more.
    """

    def __init__(self, max_bytes: int, seconds: float, stopped: threading.Event | None = None) -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._stopped = stopped or threading.Event()

    @property
    def seconds_left(self) -> float:
        """Never below zero."""
        return max(0.0, self._until - time.monotonic())

    def check(self) -> None:
        """Refuse to go on when time is up.

        Raises:
            FetchFailed: it is, or the server is ending.
        """
        if self._stopped.is_set():
            raise FetchFailed("the copy was given up, since the server ends")
        if not self.seconds_left:
            raise FetchFailed(f"copying took longer than {self._seconds:g} s")

    def wait(self, seconds: float) -> None:
        """Pause, no longer than there is time."""
        self._stopped.wait(min(seconds, self.seconds_left))
        self.check()

    def spend(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass pieces on while there is room and time.

        Raises:
            FetchFailed: there is none.
        """
        for piece in pieces:
            self.check()
            self._left -= len(piece)
            if self._left < 0:
                raise FetchFailed(f"the bundle is larger than {self._max_bytes} bytes")
            yield piece
