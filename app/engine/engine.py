"""The one loop: take what is new, plan, run, take late aborts, book, publish.

Only its turns touch the scheduler and the executor, so neither has a lock, and they never touch a socket.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from app.core.beam import BeamRequest, BeamResult
from app.core.errors import DeadlineExceeded, Draining, EngineDead, RnnserveError, RunFailed
from app.core.plan import Batch, BatchResult
from app.core.ports import Executor
from app.core.sequence import BlockRequest, BlockResult, Read, SequenceRequest
from app.engine.beam_job import BeamJob
from app.engine.block import MAX_SHARED, Block
from app.engine.driver import LoopDriver, ThreadDriver
from app.engine.handover import DEAD, Intake, Outbox
from app.engine.job import End, Job, settle
from app.engine.load import EngineLoad, QueueLimits, SchedulerLimits, TickStats
from app.engine.scheduler import Scheduler
from app.engine.sequence_job import SequenceJob
from app.engine.ticket import EngineTicket

logger = logging.getLogger(__name__)

# A reader gives up this long after its sequence's deadline: by then the engine itself should
# have said so, and has not, because a run hangs.
_GRACE_S = 5.0
_SILENT = "the model did not answer within the request's time"


class Engine:
    """``observe`` is called after each tick, where the tick was; it must not block.

    ``nice``: by how much its thread comes behind others.
    """

    def __init__(
        self,
        name: str,
        executor: Executor,
        limits: SchedulerLimits,
        queue: QueueLimits,
        observe: Callable[[TickStats], None] = lambda stats: None,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_loop: bool = False,
        nice: int = 0,
    ) -> None:
        self.name = name
        self._executor = executor
        self._max_batch = limits.max_batch
        self._scheduler = Scheduler(limits)
        self._observe = observe
        self._clock = clock
        self._intake = Intake(queue)
        self._outbox = Outbox(on_loop=on_loop)
        self._on_loop = on_loop
        self._driver = (
            LoopDriver(self._guarded_turn, self._has_work)
            if on_loop
            else ThreadDriver(self._guarded_turn, self._has_work, f"engine-{name}", nice=nice)
        )
        self._next_number = 0
        # Blocks that further single sequences may share; the event loop's.
        self._shared: dict[tuple[int, Read], Block] = {}
        self._left_steps = self._left_sequences = 0  # since the queue was told
        self.used_at = clock()
        """When work was last handed in."""

    @property
    def alive(self) -> bool:
        return self._driver.running and not self._intake.dead

    @property
    def full_for_s(self) -> float | None:
        return self._intake.full_for_s

    def load(self) -> EngineLoad:
        return self._intake.load()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to turn; called on ``loop``, where events are delivered."""
        self._outbox.open(loop)
        self._driver.start(loop)

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> EngineTicket:
        now = self.used_at = self._clock()
        until = asyncio.get_running_loop().time() + (deadline - now) + _GRACE_S
        self._intake.reserve(sum([request.num_steps for request in requests]), len(requests))
        ticket = EngineTicket(len(requests), self._give_up, until)
        first = self._next_number
        self._next_number += len(requests)
        ticket.jobs = [
            SequenceJob(first + index, request, deadline, now, ticket, index)
            for index, request in enumerate(requests)
        ]
        self._intake.put(ticket.jobs)
        self._driver.wake()
        return ticket

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        future: asyncio.Future[BlockResult] = asyncio.get_running_loop().create_future()
        num_rows, length = request.steps.shape[:2]
        self._intake.reserve(num_rows * length, num_rows)
        if num_rows == 1 and request.starts is None and request.attended is None and request.lengths is None:
            self._share(request, future, deadline)
        else:
            block = Block(request, deadline)
            block.add(request, future, deadline)
            self._put(block)
        return future

    def submit_beam(self, request: BeamRequest, deadline: float) -> asyncio.Future[BeamResult]:
        now = self.used_at = self._clock()
        self._intake.reserve(request.num_steps, request.width)
        future: asyncio.Future[BeamResult] = asyncio.get_running_loop().create_future()
        job = BeamJob(self._next_number, request, deadline, now, future)
        self._next_number += 1
        self._intake.put([job])
        self._driver.wake()
        silent = DeadlineExceeded(_SILENT)
        overdue = asyncio.get_running_loop().call_later(deadline - now + _GRACE_S, settle, future, silent)

        def done(future: asyncio.Future[BeamResult]) -> None:
            overdue.cancel()
            if future.cancelled():
                self._give_up([job])

        future.add_done_callback(done)
        return future

    def submit_encode(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        raise RunFailed("this model has no encoder")

    def _share(self, request: BlockRequest, future: asyncio.Future[BlockResult], deadline: float) -> None:
        if self._on_loop:
            self._driver.wake()  # the next turn puts it
        elif not self._shared:
            asyncio.get_running_loop().call_soon(self._put_shared)
        key = (request.steps.shape[1], request.read)
        block = self._shared.get(key)
        if block is not None and not block.accepts(deadline):
            self._put(block)
            block = None
        if block is None:
            block = self._shared[key] = Block(request, deadline)
        block.add(request, future, deadline)
        if len(block.futures) == MAX_SHARED:
            self._put(self._shared.pop(key))

    def _put_shared(self) -> None:
        blocks, self._shared = self._shared, {}
        for block in blocks.values():
            self._put(block)

    def _put(self, block: Block) -> None:
        """Queue a block whose steps are booked."""
        now = self.used_at = self._clock()
        num_callers = len(block.futures)
        jobs = block.cut(self._max_batch, self._next_number, now)
        self._next_number += len(jobs)
        given_up = num_callers - len(block.futures)
        if given_up:
            self._intake.settle(given_up * block.length, given_up)
        if not jobs:
            return
        try:
            self._intake.put(jobs)
        except RnnserveError as error:
            block.error = error
            block.deliver()
            return
        self._driver.wake()

        def expire() -> None:
            block.error = DeadlineExceeded(_SILENT)
            block.deliver()

        overdue = asyncio.get_running_loop().call_later(block.deadline - now + _GRACE_S, expire)

        def done(future: asyncio.Future[BlockResult]) -> None:
            if not future.cancelled():
                overdue.cancel()  # all callers are answered at once
            elif block.given_up():
                overdue.cancel()
                self._give_up(jobs)

        for future in block.futures:
            future.add_done_callback(done)

    def _give_up(self, jobs: Sequence[Job]) -> None:
        self._intake.give_up(jobs)
        self._driver.wake()

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work and wait for what is queued; whether everything ended in time."""
        self._intake.drain()
        until = self._clock() + timeout_s
        while self.alive and self._clock() < until:
            if self.load().sequences == 0:
                return True
            await asyncio.sleep(0.01)
        return self.load().sequences == 0

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop after the present tick; sequences that are left fail."""
        self._intake.stop()
        self._driver.join(timeout_s)

    def _guarded_turn(self) -> bool:
        try:
            if self._on_loop and self._shared:
                self._put_shared()
            self._take()
            if not self._intake.stopping:
                self._turn()
                return True
            self._end(Draining("the server is shutting down"))
        except BaseException:
            logger.critical("engine %s died", self.name, exc_info=True)
            self._end(EngineDead(DEAD))
        return False

    def _has_work(self) -> bool:
        return bool(self._scheduler.jobs or self._intake.waiting or (self._on_loop and self._shared))

    def _turn(self) -> None:
        scheduler = self._scheduler
        now = self._clock()
        for job in scheduler.expired(now):
            self._finish(job, DeadlineExceeded("the request did not finish within its time"), now)
        for admitted in scheduler.admit():
            if admitted.slot is not None:
                self._executor.admit(admitted.slot, admitted.request)
        batches = scheduler.plan(now)
        if batches:
            if len(batches) > 1:
                self._outbox.publish(now)  # this tick takes longer
            results = list(map(self._executor.run, batches))
            self._take()
            self._commit(batches, results, now)
        elif self._left_sequences:
            self._settle(0)
        self._outbox.publish(self._clock() if scheduler.jobs else None)

    def _take(self) -> None:
        """Let jobs join that are new, and those leave that were given up."""
        if not self._intake.waiting:  # what is missed now is taken at the next tick
            return
        new, given_up = self._intake.take()
        for job in new:
            self._scheduler.add(job)
        for job in given_up:
            self._remove(job)

    def _commit(self, batches: Sequence[Batch], results: Sequence[BatchResult], now: float) -> None:
        outcome = self._scheduler.commit(results)
        for outputs in outcome.outputs:
            self._outbox.put(outputs)
        for tokens in outcome.tokens:
            self._outbox.put(tokens)
            if tokens.held:
                self._outbox.pace(len(tokens.jobs))
        for job, end in outcome.ends:
            self._finish(job, end, now)
        rows: list[int] = []
        steps, seconds = 0, 0.0
        for batch, result in zip(batches, results, strict=True):
            rows.append(batch.rows)
            steps += batch.rows * batch.length * result.turns
            seconds += result.seconds
        waiting = self._settle(outcome.steps, steps / seconds if seconds > 0 else 0.0)
        self._observe(TickStats(tuple(rows), steps, seconds, waiting, self._scheduler.slots_used))

    def _settle(self, taken: int, rate: float | None = None) -> int:
        """Give the queue back what was done and what has left; the steps still queued."""
        waiting = self._intake.settle(taken + self._left_steps, self._left_sequences, rate)
        self._left_steps = self._left_sequences = 0
        return waiting

    def _finish(self, job: Job, end: End, now: float) -> None:
        if job.gone:  # with another part of its block
            return
        failure = end if isinstance(end, RunFailed) else next(iter(job.row_failures.values()), None)
        if failure is not None:
            logger.error("engine %s: a run failed: %s", self.name, failure.message)
        self._remove(job)
        if isinstance(end, RnnserveError):
            for mate in job.mates:
                self._remove(mate)
        delivery = job.end(end, now)
        if delivery is not None:
            self._outbox.put(delivery)

    def _remove(self, job: Job) -> None:
        if job.gone:
            return
        self._scheduler.remove(job)
        if job.slot is not None:
            self._executor.release(job.slot)
        self._left_steps += job.steps_left
        self._left_sequences += job.width

    def _end(self, error: RnnserveError) -> None:
        """Fail what is left: nothing runs any more."""
        now = self._clock()
        for job in (*self._intake.die(), *self._scheduler.jobs.values()):
            delivery = job.end(error, now)
            if delivery is not None:
                self._outbox.put(delivery)
        self._outbox.publish()
