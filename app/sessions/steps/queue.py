"""Calls of all connections become rounds: one read, one submission and one write for all of them.

    calls of any connection --> a line for each session --> rounds, a few side by side --> outcomes

Nothing waits for a round to fill: what is here when one may begin makes it up, and what arrives
meanwhile is the next. A session is in one round at a time, so its calls keep their order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from app.access.principal import CURRENT
from app.core.errors import Draining, Overloaded
from app.sessions.record import store_key
from app.sessions.steps.calls import Outcome, PendingStep, StepCall, StepClock, StepGroup, StepLine

logger = logging.getLogger(__name__)

MAX_ROUNDS = 2
"""One is with the engine while another one is with the store."""
MAX_SESSIONS = 512
"""Of a round: enough to spread its cost, few enough for the next not to wait long."""
MAX_WAITING = 16_384
"""Calls of all connections that wait; a single hand-in beyond it is taken when nothing else waits."""


class StepQueue:
    """Brings calls together. Used on one event loop only.

    Args:
        apply: applies calls from the front of each line of a round, and settles them; what it
            raises is the outcome of every call of these lines.
    """

    def __init__(self, apply: Callable[[Sequence[StepLine]], Awaitable[None]]) -> None:
        self._apply = apply
        self._lines: dict[str, StepLine] = {}
        self._ready: dict[str, StepLine] = {}
        self._rounds: set[asyncio.Task[None]] = set()
        self._num_waiting = 0
        self._scheduled = False
        self._closed = False

    async def steps(
        self, calls: Sequence[StepCall], owner: str, clock: StepClock | None = None
    ) -> list[Outcome]:
        """Apply calls; the outcomes in their order.

        Who is cancelled meanwhile may have had calls applied that had begun.

        Raises:
            Overloaded: too many calls wait.
            Draining: the server is shutting down.
        """
        if self._closed:
            raise Draining("the server is shutting down")
        if self._num_waiting and self._num_waiting + len(calls) > MAX_WAITING:
            raise Overloaded("too many session steps wait; try again later", retry_after_s=1.0)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Outcome]] = loop.create_future()
        group = StepGroup(len(calls), done, CURRENT.get(), clock)
        for place, call in enumerate(calls):
            key = store_key(call.id, owner)
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = StepLine(key, call.id, owner)
            line.waiting.append(PendingStep(call, group, place))
            if not line.busy:
                self._ready[key] = line
        self._num_waiting += len(calls)
        if not calls:
            return []
        self._schedule(loop)
        try:
            return await done
        finally:
            self._num_waiting -= len(calls)

    async def close(self) -> None:
        """Take no more calls, give the rounds up, and fail what waits."""
        self._closed = True
        rounds = list(self._rounds)
        for one in rounds:
            one.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        for line in self._lines.values():
            line.fail(Draining("the server is shutting down"))
        self._lines.clear()
        self._ready.clear()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin rounds once everything that has arrived by now has been handed in."""
        if not self._scheduled and len(self._rounds) < MAX_ROUNDS:
            self._scheduled = True
            loop.call_soon(self._begin_rounds)

    def _begin_rounds(self) -> None:
        self._scheduled = False
        while self._ready and len(self._rounds) < MAX_ROUNDS and not self._closed:
            lines: list[StepLine] = []
            for key in list(self._ready)[:MAX_SESSIONS]:
                line = self._ready.pop(key)
                line.busy = True
                lines.append(line)
            # In a context of its own: a round is no single request's work.
            task = asyncio.create_task(self._round(lines), context=Context())
            self._rounds.add(task)
            task.add_done_callback(self._ended)

    async def _round(self, lines: Sequence[StepLine]) -> None:
        try:
            await self._apply(lines)
        except Exception as error:
            for line in lines:
                line.fail(error)
        finally:
            for line in lines:
                line.busy = False
                if line.begun:  # the round was given up in its midst
                    line.fail(Draining("the server is shutting down"))
                if line.front() is not None:
                    self._ready[line.key] = line
                else:
                    del self._lines[line.key]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._rounds.discard(task)
        if self._ready and not self._closed:
            self._schedule(task.get_loop())
