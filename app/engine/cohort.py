"""Sequences that feed back and advance together: booked as one while nobody joins or leaves.

Between two changes of its membership every tick does the same to every member, so a tick costs
the scheduler no work per sequence: the cohort counts ticks, and its members catch up at once when
one of them ends, leaves or is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.core.plan import DecodePlan
from app.engine.job import Job


class Cohort:
    """Members of one run, in its order.

    Args:
        jobs: with slots, and tokens left to produce.
    """

    __slots__ = ("_seconds", "_ticks", "_until", "jobs", "plan")

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = list(jobs)
        self.plan = DecodePlan(tuple(job.slot for job in jobs if job.slot is not None))
        self._ticks = 0
        self._seconds = 0.0
        self._until = 0
        for job in self.jobs:
            job.cohort = self
        self._renew()

    @property
    def ends_next(self) -> bool:
        """Whether the coming tick brings some member its last token."""
        return self._ticks + 1 >= self._until

    def advance(self, seconds: float) -> None:
        """Every member took a step and produced a token that did not end it."""
        self._ticks += 1
        self._seconds += seconds

    def settle(self) -> None:
        """Bring the members' own counters up to date."""
        if not self._ticks:
            return
        for job in self.jobs:
            job.produced += self._ticks
            job.to_produce -= self._ticks
            job.compute_s += self._seconds
        self._ticks = 0
        self._seconds = 0.0
        self._renew()

    def _renew(self) -> None:
        self._until = min(job.to_produce for job in self.jobs)
        size = len(self.jobs)
        for job in self.jobs:
            job.largest_batch = max(job.largest_batch, size)
