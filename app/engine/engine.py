"""The one loop: take commands, plan, execute, take late aborts, commit, publish.

    event loop --submit, cancel--> inbox --> engine thread --one callback a tick--> mailboxes

Only the engine thread touches the scheduler and the executor, so neither has a lock. The
thread never touches a socket, and the event loop never runs a model.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.core.errors import DeadlineExceeded, Draining, EngineDead, Overloaded, RnnserveError, RunFailed
from app.core.plan import Plan, PlanResult
from app.core.ports import Executor
from app.core.sequence import Event, Failed, Finished, FinishReason, SequenceRequest
from app.engine.job import Job
from app.engine.load import EngineLoad, QueueLimits, TickStats
from app.engine.mailbox import Mailbox
from app.engine.scheduler import Scheduler, SchedulerLimits
from app.engine.ticket import EngineTicket

logger = logging.getLogger(__name__)

# A reader gives up this long after its sequence's deadline: by then the engine itself should
# have said so, and has not, because a run hangs.
_GRACE_S = 5.0
# The longest the idle thread sleeps; it is woken by commands, so this only bounds the wait.
_IDLE_WAIT_S = 1.0


@dataclass(slots=True, eq=False)
class _Entry:
    """What the engine holds of a job beside the schedule; ``steps`` is its share of the queue."""

    request: SequenceRequest
    mailbox: Mailbox
    index: int
    steps: int


class Engine:
    """Runs one loaded model version on one thread.

    Args:
        name: of the model, for logs and the thread.
        executor: owns the rows and runs the graph.
        limits: the bounds of a tick.
        queue: the bounds of the queue.
        observe: called on the engine thread after each tick; it must not block.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        executor: Executor,
        limits: SchedulerLimits,
        queue: QueueLimits,
        observe: Callable[[TickStats], None] = lambda stats: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._executor = executor
        self._scheduler = Scheduler(limits)
        self._queue = queue
        self._observe = observe
        self._clock = clock
        self._entries: dict[int, _Entry] = {}
        self._deliveries: list[tuple[Mailbox, int, list[Event]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Everything below is shared with the event loop and guarded by the condition.
        self._wake = threading.Condition()
        self._inbox: list[tuple[Job, _Entry] | int] = []
        self._number = 0
        self._queued_steps = 0
        self._queued_sequences = 0
        self._steps_per_s = 0.0
        self._draining = False
        self._stopping = False
        self._dead = False

    @property
    def alive(self) -> bool:
        """Whether the thread runs and takes work."""
        return self._thread is not None and self._thread.is_alive() and not self._dead

    def load(self) -> EngineLoad:
        """What is queued now."""
        with self._wake:
            return EngineLoad(self._queued_steps, self._queued_sequences)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; events are delivered on ``loop``."""
        self._loop = loop
        self._thread = threading.Thread(target=self._main, name=f"engine-{self._name}", daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> EngineTicket:
        """Queue sequences, all or none; see :class:`~app.core.ports.Submitter`."""
        now = self._clock()
        until = asyncio.get_running_loop().time() + (deadline - now) + _GRACE_S
        steps = sum(request.num_steps for request in requests)
        mailbox = Mailbox(len(requests))
        with self._wake:
            self._check_admission(steps, len(requests))
            first = self._number
            for index, request in enumerate(requests):
                job = Job.of(first + index, request, deadline, now)
                self._inbox.append((job, _Entry(request, mailbox, index, request.num_steps)))
            self._number += len(requests)
            self._queued_steps += steps
            self._queued_sequences += len(requests)
            self._wake.notify()
        return EngineTicket(self.abort, first, mailbox, until)

    def abort(self, numbers: Iterable[int]) -> None:
        """Give sequences up by their numbers; unknown numbers are passed over."""
        with self._wake:
            self._inbox.extend(numbers)
            self._wake.notify()

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work and wait for what is queued.

        Returns:
            Whether everything ended in time.
        """
        with self._wake:
            self._draining = True
        until = self._clock() + timeout_s
        while self.alive and self._clock() < until:
            if self.load().sequences == 0:
                return True
            await asyncio.sleep(0.01)
        return self.load().sequences == 0

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop the thread after its present tick; sequences that are left fail."""
        with self._wake:
            self._draining = self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _check_admission(self, steps: int, sequences: int) -> None:
        if self._dead:
            raise EngineDead("this model has stopped and needs the server to be restarted")
        if self._draining:
            raise Draining("the server is shutting down", retry_after_s=1.0)
        over_steps = self._queued_steps + steps > self._queue.max_steps
        if over_steps or self._queued_sequences + sequences > self._queue.max_sequences:
            wait = self._queued_steps / self._steps_per_s if self._steps_per_s else 1.0
            raise Overloaded(
                "the model's queue is full; try again later", retry_after_s=min(60.0, max(1.0, wait))
            )

    def _main(self) -> None:
        try:
            while self._turn():
                pass
            self._end(Draining("the server is shutting down"))
        except BaseException:
            logger.critical("engine %s died", self._name, exc_info=True)
            self._end(EngineDead("this model has stopped and needs the server to be restarted"))

    def _turn(self) -> bool:
        """One pass of the loop; false when the engine is to stop."""
        if not self._take_commands(wait=True):
            return False
        tick = self._scheduler.plan(self._clock())
        for job in tick.expired:
            self._finish(job, DeadlineExceeded("the request did not finish within its time"))
        for job in tick.admitted:
            self._admit(job)
        if tick.plan is not None:
            result = self._executor.execute(tick.plan)
            self._take_commands(wait=False)
            self._commit(tick.plan, result)
        self._publish()
        return True

    def _take_commands(self, *, wait: bool) -> bool:
        with self._wake:
            if wait and not self._inbox and not self._stopping and self._scheduler.num_jobs == 0:
                self._wake.wait(_IDLE_WAIT_S)
            commands, self._inbox = self._inbox, []
            stopping = self._stopping
        for command in commands:
            if isinstance(command, int):
                job = self._scheduler.find(command)
                if job is not None:
                    self._forget(job)
            else:
                job, entry = command
                self._entries[job.number] = entry
                self._scheduler.add(job)
        return not stopping

    def _admit(self, job: Job) -> None:
        if job.slot is None:
            raise AssertionError("an admitted job has a slot. This is a bug.")
        self._executor.admit(job.slot.index, self._entries[job.number].request)

    def _commit(self, plan: Plan, result: PlanResult) -> None:
        taken = 0
        for progress in self._scheduler.commit(plan, result):
            entry = self._entries[progress.job.number]
            taken += entry.steps - progress.job.steps_left
            entry.steps = progress.job.steps_left
            events: list[Event] = [event for event in (progress.outputs, progress.token) if event is not None]
            if progress.end is not None:
                self._finish(progress.job, progress.end, events)
            elif events:
                self._deliveries.append((entry.mailbox, entry.index, events))
        steps = sum(group.length * len(group.slots) for group in plan.groups)
        seconds = sum(group.seconds for group in result.groups)
        with self._wake:
            rate = steps / seconds if seconds > 0 else 0.0
            self._steps_per_s = rate if not self._steps_per_s else 0.9 * self._steps_per_s + 0.1 * rate
            self._queued_steps -= taken
            waiting = self._queued_steps
        self._observe(
            TickStats(
                batch=tuple(len(group.slots) for group in plan.groups),
                steps=steps,
                seconds=seconds,
                waiting_steps=waiting,
                slots_used=self._scheduler.num_running,
            )
        )

    def _finish(self, job: Job, end: FinishReason | RnnserveError, events: list[Event] | None = None) -> None:
        entry = self._entries[job.number]
        usage = job.usage(self._clock())
        terminal: Event
        if isinstance(end, FinishReason):
            keep = entry.request.keep_row and job.slot is not None
            row = self._executor.row(job.slot.index) if keep and job.slot is not None else None
            terminal = Finished(end, usage, row)
        else:
            if isinstance(end, RunFailed):
                logger.error("engine %s: a run failed: %s", self._name, end.message)
            terminal = Failed(end, usage)
        self._deliveries.append((entry.mailbox, entry.index, [*(events or ()), terminal]))
        self._forget(job)

    def _forget(self, job: Job) -> None:
        entry = self._entries.pop(job.number)
        if job.slot is not None:
            self._executor.release(job.slot.index)
        self._scheduler.remove(job)
        with self._wake:
            self._queued_steps -= entry.steps
            self._queued_sequences -= 1

    def _publish(self) -> None:
        if not self._deliveries or self._loop is None:
            return
        deliveries, self._deliveries = self._deliveries, []
        try:
            self._loop.call_soon_threadsafe(_deliver, deliveries)
        except RuntimeError:  # the loop is closed, so nobody waits any more
            logger.debug("engine %s: %d deliveries after the loop closed", self._name, len(deliveries))

    def _end(self, error: RnnserveError) -> None:
        with self._wake:
            self._dead = True
            commands, self._inbox = self._inbox, []
        left = [*self._entries.values()]
        left += [command[1] for command in commands if not isinstance(command, int)]
        self._entries.clear()
        self._deliveries += [(entry.mailbox, entry.index, [Failed(error)]) for entry in left]
        self._publish()
        with self._wake:
            self._queued_steps = self._queued_sequences = 0


def _deliver(deliveries: list[tuple[Mailbox, int, list[Event]]]) -> None:
    for mailbox, index, events in deliveries:
        mailbox.put(index, events)
