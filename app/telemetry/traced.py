"""Engines and session stores that leave spans; they stand in for the plain ones while tracing is on.

They know what they wrap by its methods alone, so nothing below has to know of tracing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from app.core.beam import BeamRequest, BeamResult
from app.core.ports import Submitter, Ticket
from app.core.sequence import BlockRequest, BlockResult, Event, Failed, Finished, SequenceRequest, Usage
from app.sessions.stores.store import AsyncStore, SessionStore, Stored, Write, Written
from app.telemetry.tracing import Attributes, Tracing

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_SPANS: dict[str, tuple[str, Attributes]] = {
    "list_ids": ("session list", {}),
    "snapshots": ("session read", {"rnnserve.snapshots": True}),
    "snapshot": ("session read", {"rnnserve.snapshots": True}),
}
"""By method of the store."""


class TracedEngine:
    def __init__(self, tracing: Tracing, inner: Submitter, model: str) -> None:
        self._inner = inner
        self._model = model
        self._tracing = tracing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> Ticket:
        began = time.time_ns()
        ticket = self._inner.submit(requests, deadline)
        self._tracing.prepared(began)
        return TracedTicket(ticket, len(requests), self._model, began, self._tracing)

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        return self._submit(self._inner.submit_block, self._model, request, deadline)

    def submit_encode(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        return self._submit(self._inner.submit_encode, f"{self._model}/encoder", request, deadline)

    def _submit(
        self,
        submit: Callable[[BlockRequest, float], asyncio.Future[BlockResult]],
        model: str,
        request: BlockRequest,
        deadline: float,
    ) -> asyncio.Future[BlockResult]:
        began = time.time_ns()
        future = submit(request, deadline)
        self._tracing.prepared(began)
        # Called in a copy of this context, so that its spans find their place.
        future.add_done_callback(partial(self._done, model, began, len(request.steps)))
        return future

    def submit_beam(self, request: BeamRequest, deadline: float) -> asyncio.Future[BeamResult]:
        began = time.time_ns()
        future = self._inner.submit_beam(request, deadline)
        self._tracing.prepared(began)
        future.add_done_callback(partial(self._done, self._model, began, 1))
        return future

    def _done(self, model: str, began: int, num: int, future: asyncio.Future[Any]) -> None:
        attributes: Attributes = {"rnnserve.model": model, "rnnserve.sequences": num}
        usage = Usage()
        if future.cancelled():
            attributes["rnnserve.cancelled"] = True
        elif future.exception() is None:
            usage = future.result().usage
        attributes["rnnserve.largest_batch"] = usage.largest_batch
        attributes["rnnserve.run_seconds"] = usage.compute_s
        self._tracing.ran(began, usage.queue_s, attributes)


class TracedTicket:
    """A ticket that makes its spans at the last terminal event, or when it is cancelled.

    ``began`` is the submission, Unix time in nanoseconds.
    """

    def __init__(self, inner: Ticket, num: int, model: str, began: int, tracing: Tracing) -> None:
        self._inner = inner
        self._left = num
        self._began = began
        self._tracing = tracing
        self._attributes: Attributes = {"rnnserve.model": model, "rnnserve.sequences": num}
        self._usages = [Usage()]

    async def events(self) -> list[tuple[int, Event]]:
        events = await self._inner.events()
        ended = [event.usage for _, event in events if isinstance(event, (Finished, Failed))]
        self._usages += ended
        self._left -= len(ended)
        if self._left == 0:
            self._end()
        return events

    def wake(self) -> None:
        self._inner.wake()

    def cancel(self) -> None:
        self._inner.cancel()
        if self._left > 0:
            self._attributes["rnnserve.cancelled"] = True
            self._end()

    def _end(self) -> None:
        self._left = -1
        self._attributes["rnnserve.largest_batch"] = max(usage.largest_batch for usage in self._usages)
        self._attributes["rnnserve.run_seconds"] = max(usage.compute_s for usage in self._usages)
        self._tracing.ran(self._began, max(usage.queue_s for usage in self._usages), self._attributes)


class TracedStore:
    def __init__(self, tracing: Tracing, inner: AsyncStore) -> None:
        self._inner = inner
        self._tracing = tracing

    async def get(self, ids: Sequence[str]) -> list[Stored | None]:
        with self._tracing.span("session read", {"rnnserve.sessions": len(ids)}):
            return await self._inner.get(ids)

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        attributes: Attributes = {"rnnserve.sessions": len(writes)}
        with self._tracing.span("session commit", attributes, [write.id for write in writes]):
            return await self._inner.write(writes)

    async def call(self, method: Callable[[SessionStore, *Ts], T], *args: *Ts) -> T:
        found = _SPANS.get(method.__name__)
        if found is None:  # the sweeper's, which is no request
            return await self._inner.call(method, *args)
        with self._tracing.span(*found):
            return await self._inner.call(method, *args)
