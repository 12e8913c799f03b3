"""Sessions that share a WebSocket: each is a unit, and a frame carries whatever is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson

from rnnserve_bench.loops import Unit
from rnnserve_bench.socket_line import SocketLine


class SharedUnit(Unit):
    """A session whose events share a WebSocket with those of others."""

    def __init__(self, line: SharedLine, id: str) -> None:
        super().__init__()
        self.id = id
        self.seq = 1
        self._line = line
        line.units[id] = self

    def emit(self) -> None:
        """Put the event into the connection's next frame."""
        self._line.put(self)


class SharedLine:
    """``WS /sessions``: whatever is ready goes in one frame.

    Args:
        inputs: JSON of an event's ``inputs``, by its number.
    """

    def __init__(self, inputs: Callable[[int], bytes]) -> None:
        self.units: dict[str, SharedUnit] = {}
        self._inputs = inputs
        self._line: SocketLine | None = None
        self._ready: list[SharedUnit] = []
        self._flushing = False

    async def open(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._line = await SocketLine.open(url, self._on_frame, self._on_lost, headers)

    def put(self, unit: SharedUnit) -> None:
        """Send this unit's event with the next frame, at the end of the present turn of the event loop."""
        self._ready.append(unit)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _flush(self) -> None:
        self._flushing = False
        ready, self._ready = self._ready, []
        if self._line is None or not ready:
            return
        steps = [
            b'{"id":"%b","seq":%d,"inputs":%b}' % (unit.id.encode(), unit.seq, self._inputs(unit.seq))
            for unit in ready
        ]
        self._line.send(b'{"type":"steps","steps":[' + b",".join(steps) + b"]}")

    def _on_frame(self, payload: bytes) -> None:
        frame = orjson.loads(payload)
        self._flushing = True  # everything that becomes ready here leaves in one frame
        for result in frame["results"] if frame["type"] == "outputs" else (frame,):
            unit = self.units.get(result.get("id", ""))
            if unit is None:
                continue
            if "step" in result and result["type"] == "output":
                unit.seq = result["step"] + 1
                unit.answered()
            else:
                unit.answered(str(result.get("problem", result["type"])))
        self._flush()

    def _on_lost(self) -> None:
        for unit in self.units.values():
            unit.lost("the connection was lost")
