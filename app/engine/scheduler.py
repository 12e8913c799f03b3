"""Who runs next. Pure: the clock is an argument, and there are no threads, arrays or sockets.

Each tick is ``plan`` then ``commit``. Sequences join and leave between any two ticks. What is
ready runs at once; nothing waits for a batch to fill.

    waiting --slot--> fed (supplied steps left) --> cohort (feeds back, one step a tick) --> gone
    blocks, which need no slot, are fed from their arrival on
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from app.core.plan import AnyPlan, GroupResult, Plan, PlanResult
from app.engine.cohort import Cohort
from app.engine.cost import CostModel
from app.engine.feeding import Feeding, FeedLimits, FeedPlanner
from app.engine.job import Job
from app.engine.outcome import Batch, Outcome, Progress, book_cohort, book_fed
from app.engine.slots import SlotTable

_HEAP_SLACK = 1024


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """How much may happen in one tick.

    Attributes:
        num_slots: sequences that hold a row at once.
        max_batch: rows of one run.
        max_chunk: steps one sequence advances in a tick while nobody waits for single steps.
        mixed_chunk: the same, at most, while others advance by single steps.
        max_tick_steps: rows times steps of the supplied steps of a tick, beyond its first group.
        max_tick_s: seconds that a tick should take at most, since who arrives meanwhile waits for its
            end, and nobody is answered before it.
        mixed_share: what supplied steps may add to a tick in which others advance by single steps,
            as a part of the time that these take. It bounds how much a long input delays streams.
        min_mixed_s: what they may add at least, so that they go on beside the smallest networks.
    """

    num_slots: int = 1024
    max_batch: int = 256
    max_chunk: int = 256
    mixed_chunk: int = 64
    max_tick_steps: int = 8192
    max_tick_s: float = 0.005
    mixed_share: float = 0.5
    min_mixed_s: float = 0.0002


@dataclass(slots=True, eq=False)
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
        self._fed: dict[int, Job] = {}
        self._feeding_back: dict[int, Job] = {}
        self._cohorts: deque[Cohort] = deque()
        self._cohorts_stale = False
        self._planned: list[Cohort | Feeding] = []
        self._cost = CostModel()
        self._turns = 0
        self._planner = FeedPlanner(
            FeedLimits(
                limits.max_batch,
                limits.max_chunk,
                limits.mixed_chunk,
                limits.max_tick_steps,
                limits.max_tick_s,
            ),
            self._cost,
        )

    @property
    def num_jobs(self) -> int:
        """Sequences and blocks known, waiting or running."""
        return len(self._jobs)

    @property
    def num_running(self) -> int:
        """Sequences that hold a slot."""
        return self._slots.num_used

    def add(self, job: Job) -> None:
        """Queue a job: the earliest deadline is admitted first, then the earliest arrival."""
        self._jobs[job.number] = job
        # Behind those who have had a turn since: what is always new must not hold up what was cut short.
        job.last_turn = self._turns
        heapq.heappush(self._deadlines, (job.deadline, job.number))
        if job.is_block:
            self._fed[job.number] = job
        else:
            heapq.heappush(self._waiting, (job.deadline, job.number))

    def jobs(self) -> list[Job]:
        """All that are known."""
        return list(self._jobs.values())

    def find(self, number: int) -> Job | None:
        """The job of that number while it is known."""
        return self._jobs.get(number)

    def remove(self, job: Job) -> None:
        """Forget a job, whatever it had left, and free its slot. Its counters are right after it."""
        if job.cohort is not None:
            job.cohort.settle()
            self._cohorts_stale = True
            job.cohort = None
        number = job.number
        self._jobs.pop(number, None)
        self._fed.pop(number, None)
        self._feeding_back.pop(number, None)
        if job.slot is not None:
            self._slots.release(job.slot)
        self._deadlines = self._compacted(self._deadlines)
        self._waiting = self._compacted(self._waiting)

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
        admitted = self._admit() if self._waiting else ()
        if self._cohorts_stale:
            self._form_cohorts()
        self._planned = []
        groups: list[AnyPlan] = []
        seconds = self._limits.max_tick_s
        if self._cohorts:
            # With more streams than fit into one run, cohorts take turns.
            cohort = self._cohorts[0]
            self._cohorts.rotate(-1)
            self._planned.append(cohort)
            groups.append(cohort.plan)
        if self._fed:
            mixed = bool(groups)
            if mixed:
                taken = self._cost.estimate(groups[0].rows, 1)
                seconds = max(self._limits.mixed_share * taken, self._limits.min_mixed_s)
            for feeding in self._planner.plan(self._fed.values(), seconds, mixed=mixed):
                self._start(feeding.jobs, now)
                self._planned.append(feeding)
                groups.append(feeding.plan)
        return Tick(expired, admitted, Plan(tuple(groups)) if groups else None)

    def commit(self, plan: Plan, result: PlanResult) -> Outcome:
        """Book what a plan's execution brought.

        A job that has left meanwhile is passed over.
        """
        batches: list[Batch] = []
        progress: list[Progress] = []
        steps = 0
        for planned, group, outcome in zip(self._planned, plan.groups, result.groups, strict=True):
            self._observe_cost(group, outcome)
            if isinstance(planned, Cohort):
                if not (self._cohorts_stale or outcome.ended or outcome.errors or planned.ends_next):
                    planned.advance(outcome.seconds)
                    batches.append(Batch(planned.jobs, outcome.tokens))
                    steps += len(planned.jobs)
                    continue
                booked = book_cohort(planned, outcome, self._is_known)
            else:
                booked = book_fed(planned, outcome, self._is_known)
                self._sort_out(planned.jobs)
            batches += booked.batches
            progress += booked.progress
            steps += booked.steps
        self._planned = []
        return Outcome(batches, progress, steps)

    def _compacted(self, heap: list[tuple[float, int]]) -> list[tuple[float, int]]:
        """The heap without jobs that are gone, once these are most of it.

        They leave it by themselves only when they come to its top, which one long job can hold for
        as long as it lives.
        """
        if len(heap) <= 2 * len(self._jobs) + _HEAP_SLACK:
            return heap
        known = [entry for entry in heap if entry[1] in self._jobs]
        heapq.heapify(known)
        return known

    def _is_known(self, job: Job) -> bool:
        return job.number in self._jobs

    def _observe_cost(self, group: AnyPlan, outcome: GroupResult) -> None:
        if len(outcome.errors) < group.rows:
            self._cost.observe(group.rows, group.length, outcome.seconds)

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
            self._fed[job.number] = job
            admitted.append(job)
        return tuple(admitted)

    def _start(self, jobs: Iterable[Job], now: float) -> None:
        for job in jobs:
            self._turns += 1
            job.last_turn = self._turns
            if job.started_at is None:
                job.started_at = now

    def _sort_out(self, jobs: Iterable[Job]) -> None:
        """Jobs whose supplied steps are used up are fed no more; those with tokens to produce feed back."""
        for job in jobs:
            if job.supplied == 0 and self._fed.pop(job.number, None) is not None and job.to_produce:
                self._feeding_back[job.number] = job
                self._cohorts_stale = True

    def _form_cohorts(self) -> None:
        """Part all that feed back into as few runs as possible, of nearly equal size.

        The order of the cohorts that were is kept, so that nobody is passed over for long.
        """
        for cohort in self._cohorts:
            cohort.settle()
        waiting = [job for cohort in self._cohorts for job in cohort.jobs if job.cohort is cohort]
        new = [job for job in self._feeding_back.values() if job.cohort is None]
        order = [*waiting, *new]
        runs = -(-len(order) // self._limits.max_batch)
        self._cohorts = deque(
            Cohort(order[len(order) * run // runs : len(order) * (run + 1) // runs]) for run in range(runs)
        )
        self._cohorts_stale = False
