"""Which beam searches are under way, and which of them take a step together."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

from app.engine.beam_job import BeamJob, PlannedBeams


class BeamQueue:
    """Searches under way have ``max_rows`` rows together at most; the others wait until some of these end.

    So what has begun ends soon, and what waits holds nothing but its request.

    Attributes:
        waiting, under_way: by number.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        # A heap of deadlines and numbers: an entry outlives its job until it comes to the top.
        self._order: list[tuple[float, int]] = []
        self.waiting: dict[int, BeamJob] = {}
        self.under_way: dict[int, BeamJob] = {}
        self._rows = 0  # of those under way
        self._starting: list[BeamJob] = []  # to take steps from the next tick on
        self._batches: deque[PlannedBeams] = deque()
        self._runs = 0  # as many batches as there should have been when they were formed
        self._changed = False

    def add(self, job: BeamJob) -> None:
        self.waiting[job.number] = job
        heapq.heappush(self._order, (job.deadline, job.number))

    def remove(self, job: BeamJob) -> None:
        """A job that is gone."""
        if self.under_way.pop(job.number, None) is not None:
            self._rows -= job.width
            self._changed = True
        elif self.waiting.pop(job.number, None) is not None and len(self._order) > 2 * len(self.waiting) + 64:
            self._order = [entry for entry in self._order if entry[1] in self.waiting]
            heapq.heapify(self._order)

    def admit(self) -> list[BeamJob]:
        """Let searches begin, the earliest deadline first; of these, those that are fed something before."""
        fed: list[BeamJob] = []
        while self._order:
            job = self.waiting.get(self._order[0][1])
            if job is not None:
                if self._rows and self._rows + job.width > self._max_rows:
                    break
                del self.waiting[job.number]
                self.under_way[job.number] = job
                self._rows += job.width
                if job.supplied:
                    fed.append(job)
                else:
                    self.begin(job)
            heapq.heappop(self._order)
        return fed

    def begin(self, job: BeamJob) -> None:
        """It has been fed what was supplied."""
        self._starting.append(job)
        self._changed = True

    def next(self, seconds: float, least: int, estimate: Callable[[int], float]) -> PlannedBeams | None:
        """The searches that take a step now; where they do not fit into one run, batches take turns.

        Args:
            seconds: what a run may take.
            least: rows that it may have all the same; there is at least one search.
            estimate: seconds of a run of so many rows; 0 before any was measured.
        """
        rows = self._rows
        while rows > least and not 0 < estimate(rows) <= seconds:
            rows //= 2
        runs = -(-self._rows // max(1, rows))
        # Estimates waver, and batches that stay the same cost less: they grow only when they may double.
        if self._changed or not self._runs / 2 < runs <= self._runs:
            self._runs = runs
            self._form(runs)
        if not self._batches:
            return None
        self._batches.rotate(-1)
        return self._batches[-1]

    def _form(self, runs: int) -> None:
        """Batches of nearly equal size, in the old order: nobody is passed over for long."""
        order = [job for batch in self._batches for job in batch.jobs if not job.gone]
        order += [job for job in self._starting if not job.gone]
        total = sum([job.width for job in order])
        cut: list[list[BeamJob]] = [[] for _ in range(runs)]
        before = 0
        for job in order:
            cut[before * runs // total].append(job)
            before += job.width
        self._batches = deque(PlannedBeams(jobs) for jobs in cut if jobs)
        self._starting, self._changed = [], False
