"""A unit over HTTP: its events are made by a function, its answers judged by another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson

from rnnserve_bench.http_line import HttpLine
from rnnserve_bench.loops import Unit

Make = Callable[[int], bytes]
"""The body or frame of a unit's n-th event, counted from 1."""
Judge = Callable[[bytes], str | None]
"""What is wrong with an answer, or ``None``."""
_RECONNECTS = 1000


class HttpUnit(Unit):
    """Its own kept-alive connection; each event is a request.

    Args:
        url: of the server.
        path: to post to.
        make: the body of an event.
        judge: of a 200 answer's body.
    """

    def __init__(
        self, url: str, path: str, make: Make, judge: Judge, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._line = HttpLine(url, headers)
        self._line.on_answer = self._on_answer
        self._line.on_lost = self._on_lost
        self._head = self._line.head("POST", path)
        self._make, self._judge = make, judge
        self._number = 1
        self._reconnects = 0
        self._connecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._line.open()

    def emit(self) -> None:
        """Send the request, on a new connection when the server has ended the last one."""
        if self._line.connected:
            self._line.send(self._head, self._make(self._number))
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._reconnect())

    def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        self._line.close()

    async def _reconnect(self) -> None:
        self._reconnects += 1
        try:
            await self._line.open()
        except OSError:
            if self._reconnects > _RECONNECTS:
                self.lost("cannot connect")
            else:
                self.answered("cannot connect")
            return
        self._line.send(self._head, self._make(self._number))

    def _on_answer(self, status: int, body: bytes) -> None:
        if status != 200:
            self.answered(problem(status, body))
            return
        wrong = self._judge(body)
        if wrong is None:
            self._number += 1
        self.answered(wrong)

    def _on_lost(self) -> None:
        if self.busy:
            self.answered("the connection was lost")


def problem(status: int, body: bytes) -> str:
    """A short name of what an answer with another status than 200 says."""
    try:
        kind = orjson.loads(body)["type"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"status {status}"
    return f"status {status} {str(kind).rpartition(':')[2]}"
