"""Beam searches: how they advance, first by their supplied steps and then by all of their rows together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from app.core.beam import BeamRequest, BeamResult
from app.core.errors import RnnserveError
from app.core.plan import BatchResult, BeamBatch, BeamPart, BlockBatch, BlockPart
from app.core.sequence import BlockRequest, FinishReason, Read, Usage
from app.engine.job import End, Job, Outcome, settle


class BeamJob(Job):
    """``supplied`` counts the steps before the last one, which is the first that all rows take."""

    __slots__ = ("future", "outcome", "part")

    held = False

    def __init__(
        self,
        number: int,
        request: BeamRequest,
        deadline: float,
        now: float,
        future: asyncio.Future[BeamResult],
    ) -> None:
        super().__init__(
            number, deadline, now, len(request.steps) - 1, Read.NONE, request.width, request.max_tokens
        )
        self.part = BeamPart(request)
        if self.supplied:
            starts = None if request.start is None else request.start[None]
            attended = None if request.attended is None else [request.attended]
            self.part.prefix = BlockPart(
                BlockRequest(request.steps[None, :-1], Read.NONE, starts, attended=attended)
            )
        self.future = future
        self.outcome: BeamResult | RnnserveError | None = None

    @property
    def steps_left(self) -> int:
        return self.supplied + self.to_produce * self.width

    def plan(self, jobs: Sequence[Self], length: int) -> PlannedPrefixes:
        prefixes = [job.part.prefix for job in jobs if job.part.prefix is not None]
        return PlannedPrefixes(jobs, BlockBatch(tuple(prefixes), length, len(prefixes)))

    def end(self, end: End, now: float) -> Self:
        if isinstance(end, RnnserveError):
            self.outcome = end
        else:
            assert self.part.hypotheses is not None
            self.outcome = BeamResult(self.part.hypotheses, self.usage(now))
        return self

    def deliver(self) -> None:
        if self.outcome is not None:
            settle(self.future, self.outcome)

    def usage(self, now: float) -> Usage:
        return replace(super().usage(now), supplied=len(self.part.request.steps))


@dataclass(slots=True, eq=False)
class PlannedPrefixes:
    """Supplied steps of searches, one row of each."""

    jobs: Sequence[BeamJob]
    batch: BlockBatch

    def book(self, result: BatchResult, outcome: Outcome) -> None:
        for job in self.jobs:
            if job.gone:
                continue
            job.advance(self.batch.length, self.batch.rows, result.seconds)
            outcome.steps += self.batch.length
            if job.part.prefix is not None and job.part.prefix.errors:
                outcome.ends.append((job, job.part.prefix.errors[0]))
            elif job.supplied == 0:
                outcome.starting.append(job)


class PlannedBeams:
    """Searches that take a step together, as long as none of them comes or goes."""

    __slots__ = ("batch", "jobs")

    def __init__(self, jobs: Sequence[BeamJob]) -> None:
        self.jobs = jobs
        self.batch = BeamBatch(tuple([job.part for job in jobs]), sum([job.width for job in jobs]))

    def book(self, result: BatchResult, outcome: Outcome) -> None:
        turns = result.turns
        for job in self.jobs:
            if job.gone:
                continue
            job.to_produce -= turns
            job.produced += job.width * turns
            job.compute_s += result.seconds
            job.largest_batch = max(job.largest_batch, self.batch.rows)
            outcome.steps += job.width * turns
            if job.part.error is not None:
                outcome.ends.append((job, job.part.error))
            elif job.part.hypotheses is not None:
                outcome.ends.append((job, FinishReason.END))
