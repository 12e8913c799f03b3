"""Calls of all connections become batches: one read, one submission to the engines and one write for each.

Nothing waits for a batch to fill: what is here when one may begin makes it up. A session is in one batch at a
time, so its calls keep their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial

from app.access.principal import CURRENT
from app.core.errors import Draining, Overloaded, UnknownSession
from app.service.call import RequestClock
from app.sessions.record import is_session_id, store_key
from app.sessions.steps.calls import Outcome, PendingCall, SessionQueue, StepCall, Submission

MAX_BATCHES = 2
"""One is with the engine while another one is with the store."""
MAX_SESSIONS = 512
"""Of a batch: enough to spread its cost, few enough for the next not to wait long."""
MAX_WAITING = 16_384
"""Calls of all connections that wait; a larger single submission is taken when nothing else waits."""


class StepQueue:
    """Used on one event loop only. What ``apply`` raises is the outcome of every call of its queues."""

    def __init__(self, apply: Callable[[Sequence[SessionQueue]], Awaitable[None]]) -> None:
        self._apply = apply
        self._queues: dict[str, SessionQueue] = {}
        self._ready: dict[str, SessionQueue] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._loads: set[asyncio.Task[None]] = set()  # that sessions wait for
        self._num_waiting = 0
        self._scheduled = False
        self._closed = False

    async def steps(
        self, calls: Sequence[StepCall], owner: str, clock: RequestClock | None = None
    ) -> list[Outcome]:
        """The outcomes of calls in their order; raises ``Overloaded`` and ``Draining``.

        Who is cancelled meanwhile may have had calls applied that had begun.
        """
        if self._closed:
            raise Draining("the server is shutting down")
        if self._num_waiting and self._num_waiting + len(calls) > MAX_WAITING:
            raise Overloaded("too many session steps wait; try again later", retry_after_s=1.0)
        if not calls:
            return []
        loop = asyncio.get_running_loop()
        submission = Submission([None] * len(calls), len(calls), loop.create_future(), CURRENT.get(), clock)
        for index, call in enumerate(calls):
            key = store_key(call.id, owner)
            pending = PendingCall(call, key, submission, index)
            if not is_session_id(call.id):
                pending.settle(UnknownSession(call.id))
                continue
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = SessionQueue(key, call.id, owner)
            queue.waiting.append(pending)
            if not queue.busy:
                self._ready[key] = queue
        self._num_waiting += len(calls)
        self._schedule(loop)
        try:
            return await submission.done
        finally:
            self._num_waiting -= len(calls)

    async def close(self) -> None:
        self._closed = True
        batches = [*self._batches, *self._loads]
        for batch in batches:
            batch.cancel()
        await asyncio.gather(*batches, return_exceptions=True)
        for queue in self._queues.values():
            queue.fail(Draining("the server is shutting down"))
        self._queues.clear()
        self._ready.clear()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin batches once everything that has arrived by now has been submitted."""
        if self._ready and not self._scheduled and len(self._batches) < MAX_BATCHES and not self._closed:
            self._scheduled = True
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        while self._ready and len(self._batches) < MAX_BATCHES and not self._closed:
            queues: list[SessionQueue] = []
            for key in list(self._ready)[:MAX_SESSIONS]:
                queues.append(self._ready.pop(key))
                queues[-1].busy = True
            # In a context of its own: a batch is no single request's work.
            work = self._run(queues, partial(self._apply, queues))
            self._batches.add(loop.create_task(work, context=Context()))

    async def _run(self, queues: Sequence[SessionQueue], work: Callable[[], Awaitable[None]]) -> None:
        """Do work on queues that are busy, and let go of them."""
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        try:
            await work()
        except Exception as error:
            for queue in queues:
                queue.fail(error)
        finally:
            for queue in queues:
                queue.busy = False
                if queue.running:  # the batch was given up in its midst
                    queue.fail(Draining("the server is shutting down"))
                if queue.first() is None:
                    if queue.lease is not None:
                        queue.let_go()
                    elif queue.pinned is not None:
                        queue.pinned.uses -= 1
                    del self._queues[queue.key]
                elif queue.needed is not None and not self._closed:
                    queue.busy = True
                    waiting, queue.needed = self._run([queue], queue.needed), None
                    self._loads.add(loop.create_task(waiting, context=Context()))
                else:
                    self._ready[queue.key] = queue
            self._batches.discard(task)
            self._loads.discard(task)
            self._schedule(loop)
