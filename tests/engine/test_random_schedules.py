"""The scheduler under random work: whatever comes and goes, every job ends once and no step is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BeamBatch, BlockBatch, DecodeBatch
from app.core.sequence import FinishReason, Outputs, Read
from app.engine.beam_job import BeamJob
from app.engine.block import BlockJob
from app.engine.job import End, Job, Outcome
from app.engine.load import SchedulerLimits
from app.engine.scheduler import Scheduler
from tests.engine.scheduling import answer, decide, failure, make_block, make_job, make_search, producers


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_job_ends_exactly_once_and_takes_exactly_its_steps(data: st.DataObject) -> None:
    """Under random arrivals, aborts, failures, stops and deadlines no slot leaks and no step is lost."""
    limits = SchedulerLimits(
        num_slots=data.draw(st.integers(1, 5)),
        max_batch=data.draw(st.integers(1, 4)),
        max_chunk=data.draw(st.sampled_from([1, 4, 16])),
        mixed_chunk=data.draw(st.sampled_from([1, 2])),
        max_tick_steps=data.draw(st.integers(1, 40)),
        max_tick_s=data.draw(st.sampled_from([0.0, 0.01])),
        mixed_share=data.draw(st.sampled_from([0.0, 0.5, 10.0])),
    )
    run = _Run(data, Scheduler(limits), limits)
    arrivals = data.draw(st.integers(1, 12))
    for _ in range(3000):
        if len(run.jobs) < arrivals and data.draw(st.booleans()):
            run.arrive()
        elif len(run.jobs) == arrivals and not run.scheduler.jobs:
            break
        run.tick()
    assert len(run.scheduler.jobs) == run.scheduler.slots_used == 0
    assert set(run.ended) | run.aborted == set(run.jobs)
    assert not set(run.ended) & run.aborted
    assert all(count == 1 for count in run.ended.values())
    assert run.queued == 0


class _Run:
    """A scheduler with random work, and what should have come of it."""

    def __init__(self, data: st.DataObject, scheduler: Scheduler, limits: SchedulerLimits) -> None:
        self.data = data
        self.scheduler = scheduler
        self.limits = limits
        self.now = 0.0
        self.jobs: dict[int, tuple[Job, int, int]] = {}
        self.ended, self.reads, self.tokens = Counter[int](), Counter[int](), Counter[int]()
        self.aborted = set[int]()
        self.queued = 0

    def arrive(self) -> None:
        """A sequence, a block or a search."""
        produce = self.data.draw(st.integers(0, 10))
        supplied = self.data.draw(st.integers(0 if produce else 1, 40))
        deadline = self.now + self.data.draw(st.sampled_from([5.0, 1e9]))
        number = len(self.jobs)
        job: Job
        kind, width = self.data.draw(st.integers(0, 4)), self.data.draw(st.integers(1, self.limits.max_batch))
        if kind == 0:
            supplied = max(1, supplied)
            job = make_block(number, width, supplied, deadline)
        elif kind == 1:
            job = make_search(number, width, supplied, 1 + produce, deadline)
        else:
            job = make_job(number, supplied, produce, Read.ALL, deadline)
        self.jobs[number] = (job, supplied, job.to_produce)
        self.queued += job.steps_left
        self.scheduler.add(job)

    def leave(self, job: Job) -> None:
        """What is left of a job is queued no more."""
        self.scheduler.remove(job)
        self.queued -= job.steps_left

    def tick(self) -> None:
        """Plan, run with random failures and stops, and commit, with an abort in between now and then."""
        tick = decide(self.scheduler, self.now)
        self.now += 0.1
        for job in tick.expired:
            self.ended[job.number] += 1
            self.queued -= job.steps_left
        held = [job.slot for job, _, _ in self.jobs.values() if job.slot is not None and not job.gone]
        assert len(set(held)) == len(held) == self.scheduler.slots_used
        if not tick.batches:
            return
        searches = [part for batch in tick.batches if isinstance(batch, BeamBatch) for part in batch.parts]
        assert len(set(map(id, searches))) == len(searches)
        planned = [
            slot
            for batch in tick.batches
            if not isinstance(batch, BlockBatch | BeamBatch)
            for slot in batch.slots
        ]
        assert len(set(planned)) == len(planned)
        assert set(planned) <= set(held)
        assert all(0 < batch.rows <= self.limits.max_batch for batch in tick.batches)
        results = [self.outcome(batch) for batch in tick.batches]
        known = [job for job, _, _ in self.jobs.values() if job.number in self.scheduler.jobs]
        if known and self.data.draw(st.integers(0, 15)) == 0:
            victim = self.data.draw(st.sampled_from(known))
            self.leave(victim)
            self.aborted.add(victim.number)
        self.book(self.scheduler.commit(results))

    def outcome(self, batch: Batch) -> BatchResult:
        """A good result, one whose first token stops a stream, or a failed one."""
        luck = self.data.draw(st.integers(0, 30))
        if luck == 0 and isinstance(batch, BeamBatch):
            batch.parts[-1].error = RunFailed("no")
        elif luck == 0 and not isinstance(batch, BlockBatch):
            return failure(batch, RunFailed("no"))
        if luck == 1 and isinstance(batch, DecodeBatch):
            return replace(answer(batch), ended={0: FinishReason.END})
        return answer(batch)

    def book(self, outcome: Outcome) -> None:
        """Count what came."""
        self.queued -= outcome.steps
        for tokens in outcome.tokens:
            assert len(tokens.jobs) == len(tokens.tokens)
        for number in producers(outcome):
            assert number not in self.aborted
            self.tokens[number] += 1
        for read in outcome.outputs:
            assert read.job.number not in self.aborted
            assert isinstance(read.event, Outputs)
            self.reads[read.job.number] += len(read.event.values[0])
        for job, end in outcome.ends:
            assert job.number not in self.aborted
            self.finish(job, end)

    def finish(self, job: Job, end: End) -> None:
        """A job has ended: unless it failed or was stopped, it has had all that it asked for."""
        self.ended[job.number] += 1
        self.leave(job)
        _, supplied, produce = self.jobs[job.number]
        assert isinstance(end, RunFailed) or job.consumed == supplied
        if isinstance(job, BeamJob):
            assert isinstance(end, RunFailed) or (job.produced, job.steps_left) == (produce * job.width, 0)
        elif end is FinishReason.LENGTH or end is FinishReason.SUPPLIED:
            assert self.tokens[job.number] == job.produced == produce
            assert isinstance(job, BlockJob) or self.reads[job.number] == supplied
        elif end is FinishReason.END:
            assert self.tokens[job.number] == job.produced < produce
