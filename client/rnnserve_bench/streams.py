"""Answers that are streamed, each one event: over a WebSocket, or as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from rnnserve_bench.http_line import HttpLine
from rnnserve_bench.loops import Unit
from rnnserve_bench.socket_line import SocketLine
from rnnserve_bench.units import Make

Produced = Callable[[Mapping[str, Any]], int]
"""Tokens that were produced before a frame; of the last frame, all."""


class StreamUnit(Unit):
    """A WebSocket on which streamed answers follow each other; each event is one whole answer.

    Its record's series: ``first_token``, from when it was due to its first frame; ``between_frames``; and
    the counts ``tokens`` and ``frames`` inside the window.
    """

    def __init__(self, make: Make, produced: Produced) -> None:
        super().__init__()
        self._make = make
        self._produced = produced
        self._line: SocketLine | None = None
        self._number = 1
        self._last = 0.0
        self._tokens = 0

    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._line = await SocketLine.open(url, self._on_frame, self._on_lost, headers)

    def emit(self) -> None:
        assert self._line is not None
        self._line.send(self._begin())

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _begin(self) -> bytes:
        """The next request, nothing of its answer counted yet."""
        self._last, self._tokens = 0.0, 0
        return self._make(self._number)

    def _on_frame(self, payload: bytes) -> None:
        frame = orjson.loads(payload)
        failure = self._take(frame)
        if failure is not None or frame["type"] == "done":
            self.answered(failure)

    def _on_lost(self) -> None:
        self.lost("the connection was lost")

    def _take(self, frame: Mapping[str, Any]) -> str | None:
        """Count a frame; what it says went wrong."""
        if frame["type"] == "error":
            return str(frame.get("problem", "error"))
        now = time.perf_counter()
        counted = self.loop.record if self.loop is not None and self.loop.counts(now) else None
        # How many tokens a frame had is known when the next one says how many came before it.
        tokens = self._produced(frame)
        if counted is not None:
            counted.counts["tokens"] += tokens - self._tokens
        self._tokens = tokens
        if frame["type"] == "done":
            self._number += 1
            return None
        if counted is not None:
            name, since = ("between_frames", self._last) if self._last else ("first_token", self.due)
            counted.add(name, now - since)
            counted.counts["frames"] += 1
        self._last = now
        return None


class EventStreamUnit(StreamUnit):
    """The same over ``POST`` with ``"stream": true``: server-sent events on a kept-alive connection."""

    def __init__(
        self, url: str, path: str, make: Make, produced: Produced, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(make, produced)
        self._http = HttpLine(url, headers)
        self._head = self._http.head("POST", path)
        self._http.on_part = self._on_part
        self._http.on_answer = self._on_answer
        self._http.on_lost = self._on_lost
        self._rest = b""
        self._failure: str | None = None

    async def connect(self) -> None:
        await self._http.open()

    def emit(self) -> None:
        self._rest, self._failure = b"", "the stream ended early"
        self._http.send(self._head, self._begin())

    def close(self) -> None:
        self._http.close()

    def _on_part(self, part: bytes) -> None:
        *events, self._rest = (self._rest + part).split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data: "):
                    frame = orjson.loads(line[6:])
                    failure = self._take(frame)
                    if failure is not None or frame["type"] == "done":
                        self._failure = failure

    def _on_answer(self, status: int, body: bytes) -> None:
        self.answered(self._failure if status == 200 else f"status {status}")
