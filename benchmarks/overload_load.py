"""Requests that may be refused: units that tell an answer from a refusal, and keep the times of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rnnserve_bench.http_line import HttpLine
from rnnserve_bench.loops import Unit
from rnnserve_bench.record import Record

REFUSED = frozenset({429, 503})


class Listener(HttpLine):
    """A connection that also notes when a refusal says to come back.

    Attributes:
        retry_after: the header of the last answer, as text; empty without one.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.retry_after = ""

    def on_message_begin(self) -> None:
        """Of the parser."""
        super().on_message_begin()
        self.retry_after = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the parser."""
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")


class Asker(Unit):
    """A connection with one request in flight, all of one path.

    What is answered with 200, and what is refused as it should be, are series of the record, ``accepted``
    and ``refused``: seconds from when it was sent. Everything else is a failure.

    Args:
        url: of the server.
        path: to post to.
        body: of the n-th request, counted from 1; it is the same until it was answered with 200.
        record: what to write to.
    """

    def __init__(self, url: str, path: str, body: Callable[[int], bytes], record: Record) -> None:
        super().__init__()
        self._line = Listener(url)
        self._line.on_answer = self._on_answer
        self._line.on_lost = self._on_lost
        self._head = self._line.head("POST", path)
        self._body = body
        self._number = 1
        self._record = record
        self._sent = 0.0

    async def open(self) -> None:
        """Connect."""
        await self._line.open()

    def emit(self) -> None:
        """Send the request."""
        self._sent = time.perf_counter()
        if self._line.connected:
            self._line.send(self._head, self._body(self._number))
        else:
            asyncio.get_running_loop().call_soon(self.answered, "the connection was ended")

    def close(self) -> None:
        """End the connection."""
        self._line.close()

    def _on_answer(self, status: int, body: bytes) -> None:
        if not self.busy:
            return
        took = time.perf_counter() - self._sent
        if status == 200:
            self._number += 1
            self._record.add("accepted", took)
            self.answered()
        elif status in REFUSED and self._line.retry_after.isdigit():
            self._record.add("refused", took)
            self.answered()
        else:
            self.answered(f"status {status}: {body[:200].decode(errors='replace')}")

    def _on_lost(self) -> None:
        self.answered("the connection was lost")
