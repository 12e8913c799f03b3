"""Who runs next. Pure: the clock is an argument, and there are no threads, arrays or sockets.

Each tick is ``plan`` then ``commit``. Sequences join and leave between any two ticks. What is
ready runs at once; nothing waits for a batch to fill.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from app.core.errors import RnnserveError, RunFailed
from app.core.plan import GroupPlan, GroupResult, Plan, PlanResult, SlotRef, SlotResult
from app.core.sequence import FinishReason, Outputs, Read, Token
from app.engine.job import Job
from app.engine.slots import SlotTable


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """How much may happen in one tick.

    Attributes:
        num_slots: sequences that hold a row at once.
        max_batch: rows of one run.
        max_chunk: steps one sequence advances in a tick while nobody waits for single steps.
        mixed_chunk: the same while others advance by single steps, so that a long input delays
            their next step by little.
        max_tick_steps: rows times steps of a tick, beyond its first group.
    """

    num_slots: int = 1024
    max_batch: int = 256
    max_chunk: int = 256
    mixed_chunk: int = 16
    max_tick_steps: int = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """What a call of :meth:`Scheduler.plan` decided.

    Attributes:
        expired: jobs whose deadline has passed; they are already gone.
        admitted: jobs that got a slot in this tick.
        plan: what to run; ``None`` when nothing is ready.
    """

    expired: tuple[Job, ...]
    admitted: tuple[Job, ...]
    plan: Plan | None


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """What one tick brought one job.

    Attributes:
        outputs: outputs of supplied steps that were read.
        token: the token it produced.
        end: why it is over, or the error that ended it, or ``None`` while it goes on. The slot
            of a job that is over stays its own until :meth:`Scheduler.remove`.
    """

    job: Job
    outputs: Outputs | None = None
    token: Token | None = None
    end: FinishReason | RnnserveError | None = None


class Scheduler:
    """Decides, tick by tick, which sequences advance and by how many steps.

    Args:
        limits: the bounds of a tick.
    """

    def __init__(self, limits: SchedulerLimits) -> None:
        self._limits = limits
        self._slots = SlotTable(limits.num_slots)
        self._jobs: dict[int, Job] = {}
        self._waiting: list[tuple[float, int]] = []
        self._deadlines: list[tuple[float, int]] = []
        self._running: dict[int, Job] = {}
        self._owners: dict[SlotRef, Job] = {}
        self._turns = 0

    @property
    def num_jobs(self) -> int:
        """Sequences known, waiting or running."""
        return len(self._jobs)

    @property
    def num_running(self) -> int:
        """Sequences that hold a slot."""
        return self._slots.num_used

    def add(self, job: Job) -> None:
        """Queue a job: the earliest deadline is admitted first, then the earliest arrival."""
        self._jobs[job.number] = job
        heapq.heappush(self._waiting, (job.deadline, job.number))
        heapq.heappush(self._deadlines, (job.deadline, job.number))

    def find(self, number: int) -> Job | None:
        """The job of that number while it is known."""
        return self._jobs.get(number)

    def remove(self, job: Job) -> None:
        """Forget a job, whatever it had left, and free its slot."""
        self._jobs.pop(job.number, None)
        self._running.pop(job.number, None)
        if job.slot is not None:
            self._slots.release(job.slot)

    def next_deadline(self) -> float | None:
        """The earliest deadline of a known job."""
        while self._deadlines and self._deadlines[0][1] not in self._jobs:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def plan(self, now: float) -> Tick:
        """Drop what has expired, admit what fits, and choose what runs.

        Args:
            now: clock reading, in seconds, on the scale of the jobs' deadlines.
        """
        expired = self._expire(now)
        admitted = self._admit()
        groups = self._groups()
        for group in groups:
            for ref in group.slots:
                job = self._owners[ref]
                self._turns += 1
                job.last_turn = self._turns
                job.started_at = now if job.started_at is None else job.started_at
        return Tick(expired, admitted, Plan(tuple(groups)) if groups else None)

    def commit(self, plan: Plan, result: PlanResult) -> list[Progress]:
        """Book what a plan's execution brought.

        A slot whose owner has left meanwhile is passed over.
        """
        progress: list[Progress] = []
        for group, outcome in zip(plan.groups, result.groups, strict=True):
            results = outcome.results or itertools.repeat(None, len(group.slots))
            for ref, slot_result in zip(group.slots, results, strict=True):
                job = self._owners.get(ref)
                if job is not None and self._slots.is_current(ref):
                    progress.append(_book(job, group, outcome, slot_result))
        return progress

    def _expire(self, now: float) -> tuple[Job, ...]:
        expired: list[Job] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            job = self._jobs[heapq.heappop(self._deadlines)[1]]
            self.remove(job)
            expired.append(job)
        return tuple(expired)

    def _admit(self) -> tuple[Job, ...]:
        admitted: list[Job] = []
        while self._waiting and self._slots.num_free:
            job = self._jobs.get(heapq.heappop(self._waiting)[1])
            if job is None:
                continue
            job.slot = self._slots.acquire()
            self._running[job.number] = job
            admitted.append(job)
        return tuple(admitted)

    def _groups(self) -> list[GroupPlan]:
        """One group of single steps, then groups of longer chunks, the longest unserved first."""
        self._owners = {job.slot: job for job in self._running.values() if job.slot is not None}
        single = [job for job in self._running.values() if job.supplied <= 1]
        longer = sorted((job for job in self._running.values() if job.supplied > 1), key=_turn)
        if len(single) > self._limits.max_batch:
            single = sorted(single, key=_turn)[: self._limits.max_batch]
        groups = [_group(single, 1)] if single else []
        cap = self._limits.mixed_chunk if single else self._limits.max_chunk
        budget = self._limits.max_tick_steps - len(single)
        for length, members in _by_chunk(longer, cap):
            fits = max(budget // length, 0 if groups else 1)
            chosen = members[: min(fits, self._limits.max_batch)]
            if not chosen:
                break
            groups.append(_group(chosen, length))
            budget -= length * len(chosen)
        return groups


def _turn(job: Job) -> tuple[int, float, int]:
    return (job.last_turn, job.deadline, job.number)


def _by_chunk(jobs: Iterable[Job], cap: int) -> list[tuple[int, list[Job]]]:
    """Members of each chunk length, in the order of their first member.

    Within a group all advance by the same power of two, so nothing is padded; when all of them
    have the same number of steps left, within the cap, they take them all at once.
    """
    buckets: dict[int, list[Job]] = {}
    for job in jobs:
        chunk = min(1 << (job.supplied.bit_length() - 1), cap)
        buckets.setdefault(chunk, []).append(job)
    groups: list[tuple[int, list[Job]]] = []
    for chunk, members in buckets.items():
        left = {job.supplied for job in members}
        whole = left.pop()
        groups.append((whole if not left and whole <= cap else chunk, members))
    return groups


def _group(jobs: list[Job], length: int) -> GroupPlan:
    slots: list[SlotRef] = []
    read: list[Read] = []
    sample: list[bool] = []
    for job in jobs:
        if job.slot is None:
            raise AssertionError("a running job has a slot. This is a bug.")
        consumes = job.supplied > 0
        last = job.supplied <= length
        wanted = job.read if consumes else Read.NONE
        slots.append(job.slot)
        read.append(Read.NONE if wanted is Read.LAST and not last else wanted)
        sample.append(last and job.to_produce > 0)
    return GroupPlan(tuple(slots), length, tuple(read), tuple(sample))


def _book(job: Job, group: GroupPlan, outcome: GroupResult, result: SlotResult | None) -> Progress:
    job.compute_s += outcome.seconds
    job.largest_batch = max(job.largest_batch, len(group.slots))
    if outcome.error is not None or result is None:
        return Progress(job, end=outcome.error or RunFailed("a run returned no result for this row"))
    if result.error is not None:
        return Progress(job, end=result.error)
    outputs = None
    if job.supplied > 0:
        taken = min(group.length, job.supplied)
        job.supplied -= taken
        job.consumed += taken
        if result.values:
            outputs = Outputs(job.consumed - len(result.values[0]), result.values)
    if result.token is not None:
        job.produced += 1
        job.to_produce -= 1
    end: FinishReason | None = result.finish
    if end is None and job.supplied == 0 and job.to_produce == 0:
        end = FinishReason.LENGTH if job.produced else FinishReason.SUPPLIED
    return Progress(job, outputs, result.token, end)
