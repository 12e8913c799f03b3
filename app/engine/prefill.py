"""Which supplied steps run in a tick: sequences and blocks that have input left.

In a batch all advance by the same number of steps, so nothing is padded (right-padding saves no time in
ONNX Runtime). Jobs of other lengths share the powers of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from app.core.cost import CostTable
from app.engine.job import Job, Planned
from app.engine.load import SchedulerLimits

# With so many rows a run is full: more of them take as much longer as they are more.
_FULL_ROWS = 16


class PrefillPlanner:
    """Chooses batches within a tick's budget, who has waited longest first.

    Args:
        limits: of a tick.
        cost: how long runs take.
    """

    def __init__(self, limits: SchedulerLimits, cost: CostTable) -> None:
        self._limits = limits
        self._cost = cost

    def plan(self, jobs: Iterable[Job], seconds: float, *, mixed: bool) -> list[Planned]:
        """Batches that run one after the other.

        Args:
            jobs: not yet through with their supplied steps.
            seconds: what longer inputs may take. The first batch goes on by at least one step of one job.
            mixed: whether others advance by single steps in this tick, whom a long input must not
                delay much.
        """
        limits = self._limits
        ordered = sorted(jobs, key=attrgetter("urgency"))
        for job in ordered:
            mixed = mixed or job.supplied <= 1
        steps = limits.max_tick_steps
        planned: list[Planned] = []
        for length, members in _by_chunk(ordered, limits.mixed_chunk if mixed else limits.max_chunk):
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
        while length > 1 and estimate(rows, length) > seconds:
            length = 1 << ((length - 1).bit_length() - 1)
        if seconds < self._limits.max_tick_s:
            # Others' single steps are measured by this: it holds even for runs that are not full.
            while len(chosen) > 1 and estimate(rows, length) > seconds:
                chosen = chosen[: len(chosen) // 2]
                rows = sum(job.width for job in chosen)
        if not first and estimate(rows, length) > seconds:
            return [], length
        return chosen, length


def _up_to(jobs: list[Job], most: int) -> tuple[list[Job], int]:
    """The first of the jobs that have at most so many rows together, and how many these are."""
    rows = 0
    for place, job in enumerate(jobs):
        if rows + job.width > most:
            return jobs[:place], rows
        rows += job.width
    return jobs, rows


def _by_chunk(jobs: Iterable[Job], cap: int) -> Iterator[tuple[int, list[Job]]]:
    """Jobs of one kind by the steps they advance, in the order of the first of each.

    All advance by the same power of two; when all of them have the same number of steps left,
    within the cap, they take them all at once.
    """
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
