"""Which supplied steps run in a tick: sequences and blocks that have input left.

Within a group all advance by the same number of steps, so nothing is padded (right-padding
saves no time in ONNX Runtime). Lengths that differ meet at powers of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.core.plan import BlockPlan, GroupPlan
from app.core.sequence import Read
from app.engine.cost import CostModel
from app.engine.job import Job

# With so many rows a run is full: more of them take as much longer as they are more.
_FULL_ROWS = 16


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Of one tick; see :class:`~app.engine.scheduler.SchedulerLimits`."""

    max_batch: int
    max_chunk: int
    mixed_chunk: int
    max_tick_steps: int
    max_tick_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Feeding:
    """A group, and whose rows it advances, in its order."""

    jobs: list[Job]
    plan: GroupPlan | BlockPlan


class FeedPlanner:
    """Chooses groups within a tick's budget, who has waited longest first.

    Args:
        limits: of a tick.
        cost: how long runs take.
    """

    def __init__(self, limits: FeedLimits, cost: CostModel) -> None:
        self._limits = limits
        self._cost = cost

    def plan(self, jobs: Iterable[Job], seconds: float, *, mixed: bool) -> list[Feeding]:
        """Groups that run one after the other; none is empty.

        Args:
            jobs: with supplied steps left.
            seconds: what longer inputs may take. The first group goes on by at least one step of one job.
            mixed: whether others advance by single steps in this tick, whom a long input must not
                delay much.
        """
        limits = self._limits
        ordered = sorted(jobs, key=_turn)
        mixed = mixed or any(job.supplied == 1 for job in ordered)
        cap = limits.mixed_chunk if mixed else limits.max_chunk
        steps = limits.max_tick_steps
        groups: list[Feeding] = []
        for length, members in _by_chunk(ordered, cap):
            # Single steps are somebody's next answer as much as a stream's next token is.
            allowed = limits.max_tick_s if members[0].supplied == 1 else seconds
            chosen, length = self._fit(members, length, steps, allowed, first=not groups)
            if not chosen:
                continue
            rows = _rows(chosen)
            groups.append(_group(chosen, length, rows))
            steps -= length * rows
            seconds -= self._cost.estimate(rows, length)
        return groups

    def _fit(
        self, members: list[Job], length: int, steps: int, seconds: float, *, first: bool
    ) -> tuple[list[Job], int]:
        """As many members and steps as the budget holds; the first group's first member always goes.

        Over the time, rows go first: those that stay are answered sooner, and their answers are
        written out while the others run. Then steps, since few rows do not fill a run.
        """
        chosen = _up_to(members, min(self._limits.max_batch, steps // length))
        if not chosen:
            if not first:
                return [], length
            chosen = members[:1]
        time = self._cost.estimate(_rows(chosen), length)
        if time > seconds:
            fair = int(_rows(chosen) * seconds / time)
            chosen = _up_to(chosen, max(fair, _FULL_ROWS)) or chosen[:1]
        while length > 1 and self._cost.estimate(_rows(chosen), length) > seconds:
            length = 1 << ((length - 1).bit_length() - 1)
        if seconds < self._limits.max_tick_s:
            # Others' single steps are measured by this: it holds even for runs that are not full.
            while len(chosen) > 1 and self._cost.estimate(_rows(chosen), length) > seconds:
                chosen = chosen[: len(chosen) // 2]
        if not first and self._cost.estimate(_rows(chosen), length) > seconds:
            return [], length
        return chosen, length


def _rows(jobs: list[Job]) -> int:
    return sum(job.width for job in jobs)


def _up_to(jobs: list[Job], rows: int) -> list[Job]:
    """The first of the jobs that have so many rows together, at most."""
    for place, job in enumerate(jobs):
        rows -= job.width
        if rows < 0:
            return jobs[:place]
    return jobs


def _turn(job: Job) -> tuple[int, float, int]:
    return (job.last_turn, job.deadline, job.number)


def _by_chunk(jobs: Iterable[Job], cap: int) -> Iterator[tuple[int, list[Job]]]:
    """Members of each chunk length, in the order of their first member.

    All advance by the same power of two; when all of them have the same number of steps left,
    within the cap, they take them all at once.
    """
    buckets: dict[tuple[int, bool], list[Job]] = {}
    for job in jobs:
        chunk = min(1 << (job.supplied.bit_length() - 1), cap)
        buckets.setdefault((chunk, job.is_block), []).append(job)
    for (chunk, _), members in buckets.items():
        whole = members[0].supplied
        alike = whole <= cap and all(job.supplied == whole for job in members)
        yield (whole if alike else chunk), members


def _group(jobs: list[Job], length: int, rows: int) -> Feeding:
    if jobs[0].is_block:
        return Feeding(jobs, BlockPlan(tuple(job.number for job in jobs), length, rows))
    read: list[Read] = []
    sample: list[bool] = []
    for job in jobs:
        last = job.supplied <= length
        read.append(Read.NONE if job.read is Read.LAST and not last else job.read)
        sample.append(last and job.to_produce > 0)
    slots = tuple(job.slot for job in jobs if job.slot is not None)
    return Feeding(jobs, GroupPlan(slots, length, tuple(read), tuple(sample)))
