"""Find, prepare, submit, finish: the one path that every transport takes.

request --model.prepare--> blocks    --engine.submit_block--> outputs --model.finish--> answer
                             ^---------------further---------------+
request --model.start----> sequences --engine.submit--------> events  --assembler-----> frames

Where a bundle has an encoder, blocks and sequences are made of what it makes of the request's sources first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.core.beam import BeamRequest, BeamResult
from app.core.errors import UnknownModel
from app.core.limits import Limits
from app.core.offload import offloaded
from app.core.ports import Submitter, Ticket
from app.core.sequence import BlockResult, Encoded, SequenceRequest, Source
from app.service.answer_memory import AnswerMemory
from app.service.call import Call, RequestObserver, Timing
from app.service.catalog import Catalog, Deployment
from app.service.encoded_sources import EncodedSources
from app.service.stream import TaskStream
from app.tasks.model import Answering, Prepared, ResumePoint, StreamStart, Work
from app.tasks.task import Task

_MANY = 200
"""Answers of more sequences take longer than the event loop may stand."""


class InferenceService:
    """Answers requests on the models of a catalog, an empty one at first; ``clock`` is the engines' own."""

    def __init__(
        self, limits: Limits, observe: RequestObserver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.catalog = Catalog((), {})
        self._limits = limits
        self._observe = observe
        self._memory = AnswerMemory()
        self.encoded = EncodedSources(limits.max_attended_bytes)
        self._clock = clock

    def serve(self, catalog: Catalog) -> None:
        """Answer requests that come from now on from another catalog; on the event loop."""
        self.catalog = catalog

    def find(self, task: str, model: str | None, call: Call | None = None) -> Deployment:
        """The deployment that a request of ``task`` goes to, which ``call`` uses; raises UnknownModel."""
        wanted = self.catalog.asked.get(task) if model is None else model
        found = None if wanted is None else self.catalog.find(wanted)
        if found is None or found.task.name != task:
            available = tuple(served.reference for served in self.catalog.by_task.get(task, ()))
            raise UnknownModel(model if model is not None else f"for {task}", available)
        if call is not None:
            # As Call.asks, on the path of every request.
            call.deployment, call.model = found, found.reference
            found.uses += 1
        return found

    def find_any(self, model: str) -> Deployment:
        """The deployment of a name or reference, whatever its task; raises UnknownModel."""
        found = self.catalog.find(model)
        if found is None:
            raise UnknownModel(model, tuple(self.catalog.deployments))
        return found

    def full_for_s(self, task: str) -> float | None:
        """For how long every request of a task would be refused, whichever model it names, if at all."""
        waits = []
        for served in self.catalog.by_task.get(task, ()):
            wait = None if served.model is None else served.engine.full_for_s
            if wait is None:
                return None
            waits.append(wait)
        return min(waits, default=None)

    def count_refusal(self, task: str) -> None:
        """A request of a task was refused for want of capacity before it was known which model it names."""
        self._observe.request(task, "default", "capacity", Timing())

    async def answer(
        self, task: Task, request: Any, of: Callable[[Any], Answering] | None = None
    ) -> tuple[BaseModel, Timing]:
        """The whole answer to a request of a task, or of the operation that is told by its ``of``.

        Raises:
            RnnserveError: it is refused, or fails.
        """
        if task.frames and not task.whole and of is None:
            stream = await self.stream(task, request)
            return await stream.whole(), stream.timing()
        with Call(self._observe, task.name, request.model) as call:
            deployment = self.find(task.name, request.model, call)
            if deployment.model is None:
                await deployment.load()
            model = deployment.model if of is None else of(deployment.model)
            cost_ms = model.milliseconds(request)
            prepare = model.prepare
            prepared = await offloaded(cost_ms, prepare, request) if cost_ms else prepare(request)
            outputs = await self._outputs(deployment, prepared, call)
            finish: Callable[..., BaseModel] = model.finish
            many = len(outputs) > _MANY
            answer = await asyncio.to_thread(finish, prepared, outputs) if many else finish(prepared, outputs)
        call.answered(len(outputs), prepared.num_tokens)
        return answer, call.timing()

    async def stream(self, task: Task, request: Any, point: ResumePoint | None = None) -> TaskStream:
        """Start a request of a task that streams, or go on behind a ``point`` of an earlier answer to it.

        Raises:
            RnnserveError: the request is refused; nothing was started.
        """
        with Call(self._observe, task.name, request.model) as call:
            deployment = self.find(task.name, self._began_on(task, request, point), call)
            if deployment.model is None:
                await deployment.load()
            model = deployment.model
            start = await offloaded(model.milliseconds(request), model.start, request, point)
            return await self.started(deployment, start, call)

    async def started(self, deployment: Deployment, start: StreamStart, call: Call) -> TaskStream:
        """Submit a stream; raises as :meth:`submit`."""
        sequences, deadline = start.sequences, self.deadline()
        if start.begin is not None:
            sequences = start.begin(await self._encoded(deployment, start.sources, deadline, call))
        return TaskStream(start.assembler, self.submit(deployment, sequences, call, deadline), call)

    def submit(
        self,
        deployment: Deployment,
        sequences: list[SequenceRequest],
        call: Call,
        deadline: float | None = None,
    ) -> Ticket:
        """Submit the sequences of one answer, all or none; raises RnnserveError."""
        admitted = self._memory.admit(sequences)
        call.at_end.append(partial(self._memory.give_back, admitted))
        return deployment.engine.submit(sequences, self.deadline() if deadline is None else deadline)

    def call(self, task: str, model: str | None) -> Call:
        return Call(self._observe, task, model)

    def deadline(self) -> float:
        """Of a request that begins now, on the engines' clock."""
        return self._clock() + self._limits.request_timeout_s

    def _began_on(self, task: Task, request: Any, point: ResumePoint | None) -> str | None:
        """The version that an earlier answer came from: its name may mean another one by now."""
        asked: str | None = request.model
        if point is None:
            return asked
        wanted = self.catalog.asked.get(task.name, "") if asked is None else asked
        versions = (version.reference for version in self.catalog.versions(wanted))
        return next((version for version in versions if point.is_of(request, version)), asked)

    async def _encoded(
        self, deployment: Deployment, sources: Sequence[Source], deadline: float, call: Call
    ) -> list[Encoded]:
        """What the encoder makes of sources; it is held until the call ends."""
        if not sources:
            return []
        lease = await self.encoded.lease(deployment, sources, deadline)
        call.at_end.append(lease.close)
        call.add(lease.usage)
        return lease.encoded

    async def _outputs(
        self, deployment: Deployment, prepared: Prepared, call: Call
    ) -> list[NDArray[np.float32]]:
        """Run the blocks of a request: the first output of each sequence, ``[steps read, ...]``."""
        engine, deadline = deployment.engine, self.deadline()
        if prepared.begin is not None:
            encoded = await self._encoded(deployment, prepared.sources, deadline, call)
            prepared.blocks = prepared.begin(encoded)
        results = await _run(engine, prepared.blocks, deadline, call)
        outputs: list[Any] = [None] * sum(map(len, prepared.members))
        for result, members in zip(results, prepared.members, strict=True):
            found = [result] if isinstance(result, BeamResult) else result.outputs[0]
            for index, output in zip(members, found, strict=True):
                outputs[index] = output
        if prepared.further is not None:
            while blocks := await offloaded(prepared.further_ms, prepared.further, results):
                results = await _run(engine, blocks, deadline, call)
        return outputs


async def _run(
    engine: Submitter, blocks: Iterable[Work], deadline: float, call: Call
) -> list[BlockResult | BeamResult]:
    """Run blocks and searches side by side, all or none; raises what the first one that failed did."""
    submitted: list[asyncio.Future[Any]] = []
    results: list[BlockResult | BeamResult] = []
    try:
        for block in blocks:
            if isinstance(block, BeamRequest):
                submitted.append(engine.submit_beam(block, deadline))
            else:
                submitted.append(engine.submit_block(block, deadline))
        for future in submitted:
            result = await future
            if isinstance(result, BlockResult) and result.errors:
                raise next(iter(result.errors.values()))
            results.append(result)
    finally:
        while submitted:
            submitted.pop().cancel()
    for result in results:
        call.add(result.usage)
    return results
