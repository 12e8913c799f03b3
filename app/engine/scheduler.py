"""Who runs next. Pure: the clock is an argument, and there are no threads, arrays or sockets.

Each tick is ``plan`` then ``commit``. Jobs join and leave between any two ticks, and leave between the
two halves of one. What is ready runs at once; nothing waits for a batch to fill.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from app.core.cost import CostTable
from app.core.plan import Batch, BatchResult
from app.engine.beam_job import BeamJob
from app.engine.beam_queue import BeamQueue
from app.engine.job import Job, Outcome, Planned
from app.engine.load import SchedulerLimits
from app.engine.sequence_job import PlannedDecode, SequenceJob

_HEAP_SLACK = 1024
# With so many rows a run is full: more of them take as much longer as they are more.
_FULL_ROWS = 16
# While searches are all there is, they go on for so long before anybody looks what has come.
_ALONE_S = 0.004


class Scheduler:
    """Decides, tick by tick, which jobs advance and by how many steps."""

    def __init__(self, limits: SchedulerLimits) -> None:
        self.jobs: dict[int, Job] = {}
        self._limits = limits
        self._free_slots = deque(range(limits.num_slots))
        # Heaps of deadlines and numbers, not of jobs: an entry outlives its job until it comes to the top.
        self._waiting: list[tuple[float, int]] = []
        self._deadlines: list[tuple[float, int]] = []
        self._prefill: dict[int, Job] = {}
        self._starting: list[SequenceJob] = []  # to feed back from the next tick on
        self._decode_batches: deque[PlannedDecode] = deque()
        self._decode_of: dict[int, PlannedDecode] = {}
        self._decode_changed = False
        self._beams = BeamQueue(limits.max_batch)
        self._planned: list[Planned] = []
        self._cost = CostTable()
        self._turns = 0

    @property
    def slots_used(self) -> int:
        return self._limits.num_slots - len(self._free_slots)

    def add(self, job: Job) -> None:
        """Queue a job: the earliest deadline is admitted first, then the earliest arrival."""
        self.jobs[job.number] = job
        # New jobs go behind those that were cut short, which they must not starve.
        job.last_turn = self._turns
        heapq.heappush(self._deadlines, (job.deadline, job.number))
        if isinstance(job, SequenceJob):
            heapq.heappush(self._waiting, (job.deadline, job.number))
        elif isinstance(job, BeamJob):
            self._beams.add(job)
        else:
            self._prefill[job.number] = job

    def remove(self, job: Job) -> None:
        """Its counters are right after it."""
        job.gone = True
        del self.jobs[job.number]
        self._prefill.pop(job.number, None)
        decode = self._decode_of.pop(job.number, None)
        if decode is not None:
            decode.leave()
            self._decode_changed = True
        if job.slot is not None:
            self._free_slots.append(job.slot)
        elif isinstance(job, BeamJob):
            self._beams.remove(job)
        # One long job can hold the top of a heap for as long as it lives.
        if max(len(self._deadlines), len(self._waiting)) > 2 * len(self.jobs) + _HEAP_SLACK:
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self.jobs]
            self._waiting = [entry for entry in self._waiting if entry[1] in self.jobs]
            heapq.heapify(self._deadlines)
            heapq.heapify(self._waiting)

    def expired(self, now: float) -> list[Job]:
        """Jobs whose deadline has passed, each reported once. They are known until they are removed."""
        expired: list[Job] = []
        while self._deadlines:
            deadline, number = self._deadlines[0]
            job = self.jobs.get(number)
            if job is not None:
                if deadline > now:
                    break
                expired.append(job)
            heapq.heappop(self._deadlines)
        return expired

    def admit(self) -> list[SequenceJob]:
        admitted: list[SequenceJob] = []
        while self._waiting and self._free_slots:
            job = self.jobs.get(heapq.heappop(self._waiting)[1])
            if isinstance(job, SequenceJob):
                job.slot = self._free_slots.popleft()
                self._prefill[job.number] = job
                admitted.append(job)
        if self._beams.waiting:
            for search in self._beams.admit():
                self._prefill[search.number] = search
        return admitted

    def plan(self, now: float) -> list[Batch]:
        """What runs in this tick, one batch after the other."""
        if self._decode_changed:
            self._form_decode_batches()
        planned: list[Planned] = []
        batches: list[Batch] = []
        seconds = self._limits.max_tick_s
        if self._decode_batches:
            # With more streams than fit into one run, batches take turns.
            decode = self._decode_batches[0]
            self._decode_batches.rotate(-1)
            planned.append(decode)
            batches.append(decode.batch)
            if self._prefill or self._beams.under_way:
                seconds = self._beside(self._cost.estimate(len(decode.jobs), 1))
        if self._beams.under_way:
            beams = self._beams.next(seconds, 1 if planned else _FULL_ROWS, self._seconds_of_step)
            if beams is not None:
                for search in beams.jobs:
                    if search.started_at is None:
                        search.started_at = now
                taken = self._cost.estimate(beams.batch.rows, 1)
                alone = len(self.jobs) == len(beams.jobs)
                beams.batch.most_turns = max(1, int(_ALONE_S / taken)) if alone and taken else 1
                seconds = max(0.0, seconds - taken) if planned else self._beside(taken)
                planned.append(beams)
                batches.append(beams.batch)
        if self._prefill:
            for prefill in self._plan_prefill(seconds, mixed=bool(planned)):
                planned.append(prefill)
                batches.append(prefill.batch)
                for job in prefill.jobs:
                    self._turns += 1
                    job.last_turn = self._turns
                    if job.started_at is None:
                        job.started_at = now
        self._planned = planned
        return batches

    def commit(self, results: Sequence[BatchResult]) -> Outcome:
        outcome = Outcome()
        for planned, result in zip(self._planned, results, strict=True):
            batch = planned.batch
            if batch.length and len(result.errors) < batch.rows:
                self._cost.observe(batch.rows, batch.length, result.seconds / result.turns)
            planned.book(result, outcome)
        self._planned = []
        if outcome.starting:
            for job in outcome.starting:
                del self._prefill[job.number]
                if isinstance(job, BeamJob):
                    self._beams.begin(job)
                else:
                    self._starting.append(job)
                    self._decode_changed = True
        return outcome

    def _beside(self, taken: float) -> float:
        """What longer inputs may take beside single steps that take so long."""
        return max(self._limits.mixed_share * taken, self._limits.min_mixed_s)

    def _seconds_of_step(self, rows: int) -> float:
        return self._cost.estimate(rows, 1)

    def _plan_prefill(self, seconds: float, *, mixed: bool) -> list[Planned]:
        """Batches within the tick's budget that run one after the other, who has waited longest first.

        In a batch all advance by the same number of steps, so nothing is padded (right-padding saves no time
        in ONNX Runtime). Jobs of other lengths share the powers of two.

        Args:
            seconds: what longer inputs may take. The first batch goes on by at least one step of one job.
            mixed: whether others advance by single steps in this tick, whom a long input must not delay much.
        """
        limits = self._limits
        ordered = sorted(self._prefill.values(), key=attrgetter("urgency"))
        for job in ordered:
            mixed = mixed or job.supplied <= 1
        steps = limits.max_tick_steps
        planned: list[Planned] = []
        cap = limits.mixed_chunk if mixed else limits.max_chunk
        for length, members in _by_length(ordered) if limits.whole else _by_chunk(ordered, cap):
            # Single steps are somebody's next answer as much as a stream's next token is.
            allowed = limits.max_tick_s if members[0].supplied <= 1 else seconds
            chosen, length = self._fit(members, length, steps, allowed, first=not planned)
            if chosen:
                batch = chosen[0].plan(chosen, length)
                planned.append(batch)
                steps -= length * batch.batch.rows
                seconds -= self._cost.estimate(batch.batch.rows, length)
        return planned

    def _fit(
        self, members: list[Job], length: int, steps: int, seconds: float, *, first: bool
    ) -> tuple[list[Job], int]:
        """As many members and steps as the budget holds; the first batch's first member always goes.

        Over the time, rows go first: those that stay are answered sooner, and their answers are
        written out while the others run. Then steps, since few rows do not fill a run.
        """
        estimate = self._cost.estimate
        chosen, rows = _up_to(members, min(self._limits.max_batch, steps // max(1, length)))
        if not chosen:
            if not first:
                return [], length
            chosen, rows = members[:1], members[0].width
        time = estimate(rows, length)
        if time > seconds:
            fair = int(rows * seconds / time)
            chosen, rows = _up_to(chosen, max(fair, _FULL_ROWS))
            if not chosen:
                chosen, rows = members[:1], members[0].width
        while length > 1 and estimate(rows, length) > seconds and not self._limits.whole:
            length = 1 << ((length - 1).bit_length() - 1)
        if seconds < self._limits.max_tick_s:
            # Others' single steps are measured by this: it holds even for runs that are not full.
            while len(chosen) > 1 and estimate(rows, length) > seconds:
                chosen = chosen[: len(chosen) // 2]
                rows = sum(job.width for job in chosen)
        if not first and estimate(rows, length) > seconds:
            return [], length
        return chosen, length

    def _form_decode_batches(self) -> None:
        """As few as possible, of nearly equal size, in their old order: nobody is passed over for long."""
        order: list[SequenceJob] = []
        for batch in self._decode_batches:
            batch.settle()
            order += batch.jobs
        order = [job for job in order + self._starting if not job.gone]
        self._starting = []
        runs = -(-len(order) // self._limits.max_batch)
        self._decode_batches = deque(
            PlannedDecode(order[len(order) * run // runs : len(order) * (run + 1) // runs])
            for run in range(runs)
        )
        self._decode_of = {job.number: batch for batch in self._decode_batches for job in batch.jobs}
        self._decode_changed = False


def _up_to(jobs: list[Job], most: int) -> tuple[list[Job], int]:
    """The first of the jobs that have at most so many rows together, and how many these are."""
    rows = 0
    for place, job in enumerate(jobs):
        if rows + job.width > most:
            return jobs[:place], rows
        rows += job.width
    return jobs, rows


def _by_length(jobs: Iterable[Job]) -> Iterator[tuple[int, list[Job]]]:
    """Jobs that are not cut, by their length."""
    lengths: dict[int, list[Job]] = {}
    for job in jobs:
        lengths.setdefault(job.supplied, []).append(job)
    yield from lengths.items()


def _by_chunk(jobs: Iterable[Job], cap: int) -> Iterator[tuple[int, list[Job]]]:
    """Jobs of one kind advance by the same power of two, or by all they have left where that is the same."""
    chunks: dict[tuple[int, type[Job]], list[Job]] = {}
    alike: dict[tuple[int, type[Job]], bool] = {}
    for job in jobs:
        chunk = min(1 << (job.supplied.bit_length() - 1), cap) if job.supplied else 0
        key = chunk, type(job)
        members = chunks.setdefault(key, [])
        members.append(job)
        alike[key] = job.supplied <= cap and job.supplied == members[0].supplied and alike.get(key, True)
    for key, members in chunks.items():
        yield (members[0].supplied if alike[key] else key[0]), members
