"""A unit with a WebSocket of its own: a frame out and a frame in for each event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson

from rnnserve_bench.loops import Unit
from rnnserve_bench.socket_line import SocketLine
from rnnserve_bench.units import Judge, Make

_GREETING_S = 30.0


class SocketUnit(Unit):
    """Its own WebSocket; each event is a frame out and a frame in."""

    def __init__(self, make: Make, judge: Judge) -> None:
        super().__init__()
        self._make, self._judge = make, judge
        self._line: SocketLine | None = None
        self._number = 1
        self._greeted = asyncio.Event()

    async def open(
        self, url: str, headers: Mapping[str, str] | None = None, *, greeted: bool = False
    ) -> None:
        """Connect; ``greeted`` waits for the frame that the server sends first, and goes on where it says."""
        self._line = await SocketLine.open(url, self._on_frame, self._on_lost, headers)
        if greeted:
            await asyncio.wait_for(self._greeted.wait(), _GREETING_S)

    def emit(self) -> None:
        assert self._line is not None
        self._line.send(self._make(self._number))

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _on_frame(self, payload: bytes) -> None:
        if not self.busy:
            self._number = orjson.loads(payload).get("next_seq", 1)
            self._greeted.set()
            return
        wrong = self._judge(payload)
        if wrong is None:
            self._number += 1
        self.answered(wrong)

    def _on_lost(self) -> None:
        self.lost("the connection was lost")
