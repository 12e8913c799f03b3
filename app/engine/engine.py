"""The one loop: take commands, plan, execute, take late aborts, commit, publish.

    event loop --submit, cancel--> intake --> engine's turns --one callback a tick--> mailboxes, futures

Turns are taken by a driver: a thread of the engine's own, or the event loop between its callbacks.
Only they touch the scheduler and the executor, so neither has a lock, and they never touch a socket.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DeadlineExceeded, Draining, EngineDead, RnnserveError, RunFailed
from app.core.plan import Plan, PlanResult
from app.core.ports import Executor
from app.core.sequence import BlockRequest, BlockResult, Failed, Finished, FinishReason, SequenceRequest
from app.engine.block import Block, parts_of
from app.engine.driver import LoopDriver, ThreadDriver
from app.engine.gathering import Gathered, Gathering
from app.engine.intake import DEAD, Intake
from app.engine.job import Job
from app.engine.load import EngineLoad, QueueLimits, TickStats
from app.engine.mailbox import Mailbox
from app.engine.outbox import Outbox
from app.engine.scheduler import Scheduler, SchedulerLimits
from app.engine.ticket import EngineTicket

logger = logging.getLogger(__name__)

# A reader gives up this long after its sequence's deadline: by then the engine itself should
# have said so, and has not, because a run hangs.
_GRACE_S = 5.0


class Engine:
    """Runs one loaded model version, one tick after the other.

    Args:
        name: of the model, for logs and the thread.
        executor: owns the rows and runs the graph.
        limits: the bounds of a tick.
        queue: the bounds of the queue.
        observe: called after each tick, where the tick was; it must not block.
        clock: monotonic seconds.
        on_loop: take turns on the event loop instead of a thread of its own.
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
    ) -> None:
        self._name = name
        self._executor = executor
        self._max_batch = limits.max_batch
        self._scheduler = Scheduler(limits)
        self._observe = observe
        self._clock = clock
        self._intake = Intake(queue)
        self._outbox = Outbox(on_loop=on_loop)
        self._gathering = Gathering()
        self._gathers = False
        self._on_loop = on_loop
        self._driver = (
            LoopDriver(self._guarded_turn, self._has_work)
            if on_loop
            else ThreadDriver(self._guarded_turn, f"engine-{name}")
        )
        self._given_up_steps = 0
        self._ended_sequences = 0

    @property
    def alive(self) -> bool:
        """Whether it turns and takes work."""
        return self._driver.running and not self._intake.dead

    @property
    def full_for_s(self) -> float | None:
        """While the queue takes nothing, for about how long; see :class:`~app.core.ports.Submitter`."""
        return self._intake.full_for_s

    def load(self) -> EngineLoad:
        """What is queued now."""
        return self._intake.load()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to turn; called on ``loop``, where events are delivered."""
        self._outbox.open(loop)
        self._driver.start(loop)

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> EngineTicket:
        """Queue sequences, all or none; see :class:`~app.core.ports.Submitter`."""
        now = self._clock()
        until = asyncio.get_running_loop().time() + (deadline - now) + _GRACE_S
        mailbox = Mailbox(len(requests))
        numbers = range(0)

        def make(first: int) -> list[Job]:
            nonlocal numbers
            numbers = range(first, first + len(requests))
            return [
                Job.of(first + index, request, deadline, now, mailbox, index)
                for index, request in enumerate(requests)
            ]

        self._intake.reserve(sum(request.num_steps for request in requests), len(requests))
        self._intake.put(len(requests), make)
        self._driver.wake()
        return EngineTicket(self.abort, numbers.start, mailbox, until)

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        """Queue a block; see :class:`~app.core.ports.Submitter`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[BlockResult] = loop.create_future()
        num_rows, length = request.steps.shape[:2]
        self._intake.reserve(num_rows * length, num_rows)
        if not self._gathering.takes(request):
            self._put_block(request, [future], deadline)
        else:
            complete = self._gathering.add(request, future, deadline)
            if complete is not None:
                self._put_group(complete)
            if not self._on_loop and not self._gathers:
                self._gathers = True
                loop.call_soon(self._put_gathered)
        self._driver.wake()
        return future

    def _put_gathered(self) -> None:
        self._gathers = False
        for group in self._gathering.take():
            self._put_group(group)

    def _put_group(self, group: Gathered) -> None:
        given_up = group.drop_given_up()
        if given_up:
            self._intake.settle(given_up * group.length, given_up)
        if group.futures:
            self._put_block(group.joined(), group.futures, group.deadline)

    def _put_block(
        self, request: BlockRequest, futures: list[asyncio.Future[BlockResult]], deadline: float
    ) -> None:
        now = self._clock()
        parts = parts_of(request, self._max_batch)
        block = Block(futures, range(0))

        def make(first: int) -> list[Job]:
            block.numbers = range(first, first + len(parts))
            return [
                Job.of_block(number, part, deadline, now, block)
                for number, part in zip(block.numbers, parts, strict=True)
            ]

        try:
            self._intake.put(len(parts), make)
        except RnnserveError as error:
            block.fail(error)
            block.deliver()
            return
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(deadline - now + _GRACE_S, _give_up, block)

        def done(future: asyncio.Future[BlockResult]) -> None:
            if not future.cancelled():
                overdue.cancel()  # all callers are answered at once
            elif block.given_up():
                overdue.cancel()
                self.abort(block.numbers)

        for future in futures:
            future.add_done_callback(done)

    def abort(self, numbers: Iterable[int]) -> None:
        """Give jobs up by their numbers; unknown numbers are passed over."""
        self._intake.abort(numbers)
        self._driver.wake()

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work and wait for what is queued.

        Returns:
            Whether everything ended in time.
        """
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

    def _guarded_turn(self, wait_s: float) -> bool:
        try:
            if self._on_loop and self._gathering:
                self._put_gathered()
            if self._turn(wait_s):
                return True
            self._end(Draining("the server is shutting down"))
        except BaseException:
            logger.critical("engine %s died", self._name, exc_info=True)
            self._end(EngineDead(DEAD))
        return False

    def _has_work(self) -> bool:
        return self._scheduler.num_jobs > 0 or self._intake.waiting or bool(self._gathering)

    def _turn(self, wait_s: float) -> bool:
        """One pass, which waits if it has nothing to do; false when the engine is to stop."""
        idle = self._scheduler.num_jobs == 0
        if not self._take_commands(wait_s if idle else 0.0):
            return False
        tick = self._scheduler.plan(self._clock())
        for job in tick.expired:
            self._finish(job, DeadlineExceeded("the request did not finish within its time"))
        for job in tick.admitted:
            if job.slot is not None and job.request is not None:
                self._executor.admit(job.slot.index, job.request)
        if tick.plan is not None:
            if len(tick.plan.groups) > 1:
                self._outbox.publish_paced(self._clock())  # this tick takes longer
            result = self._executor.execute(tick.plan)
            self._take_commands()
            self._commit(tick.plan, result)
        elif self._ended_sequences:
            self._settle(0)
        if self._scheduler.num_jobs == 0:
            self._outbox.publish()
        else:
            self._outbox.publish_paced(self._clock())
        return True

    def _take_commands(self, wait_s: float = 0.0) -> bool:
        commands, go_on = self._intake.take(wait_s)
        for command in commands:
            if isinstance(command, Job):
                if command.part is not None:
                    self._executor.open_block(command.number, command.part)
                self._scheduler.add(command)
            elif (job := self._scheduler.find(command)) is not None:
                self._forget(job)
        return go_on

    def _commit(self, plan: Plan, result: PlanResult) -> None:
        outcome = self._scheduler.commit(plan, result)
        # Outputs of a sequence come before its tokens, and its end after them.
        for progress in outcome.progress:
            if progress.outputs is not None:
                self._outbox.put((progress.job, progress.outputs))
        for batch in outcome.batches:
            self._outbox.put(batch)
        for progress in outcome.progress:
            if progress.end is not None:
                self._finish(progress.job, progress.end)
        batches: list[int] = []
        steps, seconds = 0, 0.0
        for group, done in zip(plan.groups, result.groups, strict=True):
            rows = group.rows
            batches.append(rows)
            steps += rows * group.length
            seconds += done.seconds
        waiting = self._settle(outcome.steps, steps / seconds if seconds > 0 else 0.0)
        self._observe(TickStats(tuple(batches), steps, seconds, waiting, self._scheduler.num_running))

    def _settle(self, taken: int, rate: float | None = None) -> int:
        """Give the queue back what was done and what was given up; the steps still queued."""
        waiting = self._intake.settle(taken + self._given_up_steps, self._ended_sequences, rate)
        self._given_up_steps = self._ended_sequences = 0
        return waiting

    def _finish(self, job: Job, end: FinishReason | RnnserveError) -> None:
        if isinstance(end, RunFailed):
            logger.error("engine %s: a run failed: %s", self._name, end.message)
        if job.block is not None:
            self._finish_block(job, job.block, end)
            return
        # First, since it brings the job's counters up to date.
        row = self._last_row(job) if isinstance(end, FinishReason) else None
        self._forget(job)
        usage = job.usage(self._clock())
        terminal = Finished(end, usage, row) if isinstance(end, FinishReason) else Failed(end, usage)
        self._outbox.put((job, terminal))

    def _finish_block(self, job: Job, block: Block, end: FinishReason | RnnserveError) -> None:
        if isinstance(end, FinishReason):
            output = self._executor.take_block(job.number)
            for error in [*output.errors.values()][:1]:
                logger.error("engine %s: %d rows failed: %s", self._name, len(output.errors), error.message)
            complete = block.put(job.number, output, job.usage(self._clock()))
            self._forget(job)
            if not complete:
                return
        else:
            block.fail(end)
            self._forget(job)
            for number in block.numbers:
                other = self._scheduler.find(number)
                if other is not None:
                    self._forget(other)
        self._outbox.put(block)

    def _last_row(self, job: Job) -> NDArray[np.float32] | None:
        keep = job.request is not None and job.request.keep_row
        return self._executor.row(job.slot.index) if keep and job.slot is not None else None

    def _forget(self, job: Job) -> None:
        if job.block is not None:
            self._executor.drop_block(job.number)
        elif job.slot is not None:
            self._executor.release(job.slot.index)
        self._scheduler.remove(job)
        self._given_up_steps += job.steps_left
        self._ended_sequences += job.width

    def _end(self, error: RnnserveError) -> None:
        left = [*self._scheduler.jobs(), *(one for one in self._intake.die() if isinstance(one, Job))]
        blocks = {id(job.block): job.block for job in left if job.block is not None}
        for block in blocks.values():
            block.fail(error)
            self._outbox.put(block)
        for job in left:
            if job.block is None:
                self._outbox.put((job, Failed(error)))
        # Before anybody is told: who asks then finds an empty queue.
        self._intake.clear()
        self._outbox.publish()


def _give_up(block: Block) -> None:
    block.fail(DeadlineExceeded("the model did not answer within the request's time"))
    block.deliver()
