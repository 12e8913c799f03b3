"""One WebSocket that carries events of many sessions, several in flight, and comes back when it breaks.

feed(session, inputs) --seq given here--> pending, in order --sent--> outputs --> whoever waits
                                                  └── sent again after a reconnect
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from rnnserve_client.client import StepResult
from rnnserve_client.problems import OutputLost, Problem, Unreachable, problem_of
from rnnserve_client.retry import AGAIN, Retry
from rnnserve_client.session import Session

_MAX_IN_FLIGHT = 1024


@dataclass(slots=True, eq=False)
class _Pending:
    message: dict[str, Any]
    answer: asyncio.Future[Any]
    session: Session | None = None
    resent: bool = False
    refusals: int = 0


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Place:
    """Where a session will be when all that is in flight has been applied."""

    due: int
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_flight: int = 0


class Line:
    """Made by :meth:`Client.connect`; use it as ``async with``.

    A session that is fed here must not be fed elsewhere at the same time.

    Args:
        url: of the server.
        retry: how often a broken connection is made anew.
        headers: of the handshake, such as the key.
    """

    def __init__(self, url: str, retry: Retry, headers: Mapping[str, str] = {}) -> None:
        self._url = url.replace("http", "ws", 1) + "/sessions"
        self._headers = dict(headers)
        self._retry = retry
        self._pending: dict[object, _Pending] = {}
        # Kept by the calls in flight: a session that is not being fed takes no room here.
        self._places: WeakValueDictionary[str, _Place] = WeakValueDictionary()
        self._room = asyncio.Semaphore(_MAX_IN_FLIGHT)
        self._sending = asyncio.Lock()
        self._later: dict[str, asyncio.Task[None]] = {}
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._num_markers = 0
        self.expired: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        """Frames of sessions that have ended on the server."""

    async def __aenter__(self) -> Line:
        await self._connect()
        self._reader = asyncio.create_task(self._read_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        owned = [task for task in (self._reader, *self._later.values()) if task is not None]
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        self._fail(Unreachable("the line was closed"))

    async def feed(self, session: Session, inputs: Any) -> StepResult:
        """Apply events exactly once. Calls of many tasks, and on one session, are in flight together.

        Raises:
            Problem: the server refused them; of a session, what was sent behind them as well.
            OutputLost: they were applied, but the connection broke before they were answered.
            Unreachable: the connection could not be made anew.
        """
        place = self._places.setdefault(session.id, _Place(session.step + 1))
        async with self._room:
            async with place.order:
                if not place.in_flight:
                    place.due = session.step + 1
                seq = place.due
                message = {"type": "step", "id": session.id, "seq": seq, "inputs": inputs}
                pending = self._put((session.id, seq), message, session)
                place.in_flight += 1
                if isinstance(inputs, str):
                    # How many steps a text makes is the tokenizer's business: what follows waits.
                    return await self._answer(pending, place)
                place.due += len(inputs) if isinstance(inputs, list) else 1
                await self._send(pending)
            return await self._answer(pending, place, sent=True)

    async def marker(self) -> None:
        """Return when everything sent before has been answered by the server."""
        self._num_markers += 1
        name = str(self._num_markers)
        pending = self._put(name, {"type": "marker", "marker": name})
        await self._send(pending)
        await pending.answer

    def _put(self, key: object, message: dict[str, Any], session: Session | None = None) -> _Pending:
        if self._reader is None or self._reader.done():
            raise Unreachable("the line is not open")
        pending = _Pending(message, asyncio.get_running_loop().create_future(), session)
        self._pending[key] = pending
        return pending

    async def _answer(self, pending: _Pending, place: _Place, *, sent: bool = False) -> StepResult:
        try:
            if not sent:
                await self._send(pending)
            result: StepResult = await pending.answer
            return result
        finally:
            place.in_flight -= 1

    async def _send(self, *pending: _Pending) -> None:
        async with self._sending:
            # A broken connection is noticed by the reader, which sends everything again.
            with contextlib.suppress(WebSocketException):
                for one in pending:
                    if self._socket is not None:
                        await self._socket.send(json.dumps(one.message))

    async def _read_all(self) -> None:
        try:
            while True:
                with contextlib.suppress(OSError, WebSocketException):
                    assert self._socket is not None
                    async for text in self._socket:
                        self._take(json.loads(text))
                await self._connect()
        except Exception as error:
            self._fail(error)

    async def _connect(self) -> None:
        """Connect, and send again what is not answered, in its order."""
        failure: Exception | None = None
        for attempt in range(self._retry.attempts):
            if attempt or self._socket is not None:
                await asyncio.sleep(self._retry.pause_s(attempt))
            try:
                async with self._sending:
                    self._socket = await connect(self._url, max_size=None, additional_headers=self._headers)
                    for pending in list(self._pending.values()):
                        pending.resent = True
                        await self._socket.send(json.dumps(pending.message))
                return
            except (OSError, WebSocketException) as error:
                failure = error
        text = f"no connection to {self._url} in {self._retry.attempts} attempts"
        raise Unreachable(text) from failure

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "outputs":
            for one in frame["results"]:
                self._take(one)
        elif kind == "output":
            pending = self._pending.pop((frame["id"], frame["seq"]), None)
            if pending is not None and pending.session is not None:
                pending.session.step = frame["step"]
                self._give(pending, StepResult(frame["seq"], frame["step"], frame["outputs"]))
        elif kind == "error":
            self._refused(frame)
        elif kind == "marker":
            pending = self._pending.pop(frame["marker"], None)
            if pending is not None:
                self._give(pending, None)
        elif kind == "expired":
            self.expired.put_nowait(frame)

    def _refused(self, frame: dict[str, Any]) -> None:
        key = (frame.get("id"), frame.get("seq"))
        pending = self._pending.get(key)
        if pending is None or pending.session is None:
            return
        id, seq = pending.session.id, pending.message["seq"]
        expected = frame.get("expected")
        waits = id in self._later and expected is not None and expected < seq
        if (frame["status"] in AGAIN or waits) and pending.refusals + 1 < self._retry.attempts:
            # What is in flight behind it is refused as well, and goes again behind it.
            pending.refusals += 1
            if id not in self._later:
                pause_s = self._retry.pause_s(pending.refusals - 1, frame.get("retry_after_s", 0.0))
                self._later[id] = asyncio.create_task(self._again(id, pause_s))
            return
        error: Problem | OutputLost = problem_of(frame)
        if pending.resent and expected is not None and expected > seq:
            error = OutputLost(f"session {id!r} has applied seq {seq}, but its outputs are lost")
        elif frame.get("step") is not None:
            pending.session.step = frame["step"]
        del self._pending[key]
        if not pending.answer.done():
            pending.answer.set_exception(error)

    async def _again(self, id: str, pause_s: float) -> None:
        """Send a session's calls again, after a pause."""
        await asyncio.sleep(pause_s)
        del self._later[id]
        calls = [one for one in self._pending.values() if one.session is not None and one.session.id == id]
        for one in calls:
            one.resent = True
        await self._send(*calls)

    def _give(self, pending: _Pending, result: StepResult | None) -> None:
        if not pending.answer.done():
            pending.answer.set_result(result)

    def _fail(self, error: Exception) -> None:
        rest, self._pending = list(self._pending.values()), {}
        for pending in rest:
            if not pending.answer.done():
                pending.answer.set_exception(error)
