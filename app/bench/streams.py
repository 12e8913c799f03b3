"""Texts that are streamed, each one event: over a WebSocket, or as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Mapping

import orjson

from app.bench.http_line import HttpLine
from app.bench.loops import Unit
from app.bench.socket_line import SocketLine
from app.bench.units import Make


class StreamUnit(Unit):
    """A WebSocket on which generations follow each other; each event is one whole text.

    Its record's series: ``first_token``, from when it was due to its first frame; ``between_frames``; and
    the counts ``tokens`` and ``frames`` inside the window.
    """

    def __init__(self, make: Make) -> None:
        super().__init__()
        self._make = make
        self._line: SocketLine | None = None
        self._number = 1
        self._last = 0.0
        self._tokens = 0

    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Connect."""
        self._line = await SocketLine.open(url, self._on_frame, self._on_lost, headers)

    def emit(self) -> None:
        """Ask for a text."""
        assert self._line is not None
        self._last, self._tokens = 0.0, 0
        self._line.send(self._make(self._number))

    def close(self) -> None:
        """End the connection."""
        if self._line is not None:
            self._line.close()

    def _on_frame(self, payload: bytes) -> None:
        frame = orjson.loads(payload)
        if frame["type"] == "token":
            self.token(int(frame["index"]))
        elif frame["type"] == "done":
            self._take(int(frame["usage"]["completion_tokens"]), time.perf_counter())
            self._number += 1
            self.answered()
        else:
            self.answered(str(frame.get("problem", frame["type"])))

    def _on_lost(self) -> None:
        self.lost("the connection was lost")

    def token(self, index: int) -> None:
        """A frame whose first token has this position."""
        now = time.perf_counter()
        loop = self.loop
        if loop is not None and loop.counts(now):
            if self._last:
                loop.record.add("between_frames", now - self._last)
            else:
                loop.record.add("first_token", now - self.due)
            loop.record.counts["frames"] += 1
        # How many tokens a frame had is known when the next one says where it begins.
        self._take(index, now)
        self._last = now

    def _take(self, upto: int, now: float) -> None:
        if self.loop is not None and self.loop.counts(now):
            self.loop.record.counts["tokens"] += upto - self._tokens
        self._tokens = upto


class EventStreamUnit(StreamUnit):
    """The same over ``POST`` with ``"stream": true``: server-sent events on a kept-alive connection."""

    def __init__(self, url: str, path: str, make: Make, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(make)
        self._http = HttpLine(url, headers)
        self._head = self._http.head("POST", path)
        self._http.on_part = self._on_part
        self._http.on_answer = self._on_answer
        self._http.on_lost = lambda: self.lost("the connection was lost")
        self._rest = b""
        self._failure: str | None = "the stream ended early"

    async def connect(self) -> None:
        """Connect."""
        await self._http.open()

    def emit(self) -> None:
        """Ask for a text."""
        self._last, self._tokens = 0.0, 0
        self._rest, self._failure = b"", "the stream ended early"
        self._http.send(self._head, self._make(self._number))

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def _on_part(self, part: bytes) -> None:
        *events, self._rest = (self._rest + part).split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data: "):
                    self._on_event(orjson.loads(line[6:]))

    def _on_event(self, frame: dict[str, object]) -> None:
        if frame["type"] == "token":
            self.token(int(str(frame["index"])))
        elif frame["type"] == "done":
            usage = frame["usage"]
            assert isinstance(usage, dict)
            self._take(usage["completion_tokens"], time.perf_counter())
            self._number += 1
            self._failure = None
        else:
            self._failure = str(frame.get("problem", frame["type"]))

    def _on_answer(self, status: int, body: bytes) -> None:
        self.answered(self._failure if status == 200 else f"status {status}")
