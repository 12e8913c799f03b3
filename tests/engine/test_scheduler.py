"""The scheduler with fabricated results: no model, no thread, no clock of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BlockBatch, DecodeBatch
from app.core.sequence import (
    BlockRequest,
    Feedback,
    FinishReason,
    Outputs,
    Read,
    Sampling,
    SequenceRequest,
)
from app.engine.block import Block, BlockJob
from app.engine.job import End, Job, Outcome
from app.engine.load import SchedulerLimits
from app.engine.scheduler import Scheduler
from app.engine.sequence_job import SequenceJob
from app.engine.ticket import EngineTicket

SECONDS = 0.001
LIMITS = SchedulerLimits(num_slots=4, max_batch=3, max_chunk=8, mixed_chunk=2, max_tick_steps=20)


def make_job(
    number: int, supplied: int, produce: int = 0, read: Read = Read.NONE, deadline: float = 100.0
) -> SequenceJob:
    """A job of a sequence of that many steps."""
    feedback = Feedback(produce, Sampling()) if produce else None
    ticket = EngineTicket(1, lambda jobs: None, 0.0)
    return SequenceJob(number, SequenceRequest(np.zeros(supplied), read, feedback), deadline, 0.0, ticket)


def make_block(number: int, width: int, length: int, deadline: float = 100.0) -> BlockJob:
    """The job of a block of that many rows and steps."""
    block = Block(BlockRequest(np.zeros((width, length))), deadline)
    waiting: Any = SimpleNamespace(done=lambda: False)
    block.add(BlockRequest(np.zeros((width, length))), waiting, deadline)
    (job,) = block.cut(width, number, 0.0)
    return job


def answer(batch: Batch) -> BatchResult:
    """A result as an executor would give it: a value per step and row, one token per sample."""
    if isinstance(batch, BlockBatch):
        return BatchResult(seconds=SECONDS)
    sampled = batch.rows if isinstance(batch, DecodeBatch) else sum(batch.sample)
    return BatchResult((np.zeros((batch.rows, batch.length), np.float32),), [7] * sampled, seconds=SECONDS)


def failure(batch: Batch, error: RunFailed) -> BatchResult:
    """The result of a run that failed as a whole."""
    return BatchResult(errors=dict.fromkeys(range(batch.rows), error), seconds=SECONDS)


@dataclass(slots=True, eq=False)
class Tick:
    """What was decided in a tick."""

    expired: list[Job]
    admitted: list[SequenceJob]
    batches: list[Batch]


def decide(scheduler: Scheduler, now: float = 0.0) -> Tick:
    """A tick as the engine begins it: jobs that have expired are removed."""
    expired = scheduler.expired(now)
    for job in expired:
        scheduler.remove(job)
    return Tick(expired, scheduler.admit(), scheduler.plan(now))


def lengths(batches: list[Batch]) -> list[tuple[int, int]]:
    """Length and rows of each batch."""
    return [(batch.length, batch.rows) for batch in batches]


def turn(scheduler: Scheduler, now: float = 0.0) -> tuple[Tick, Outcome]:
    """One tick; jobs that ended are removed as the engine does."""
    tick = decide(scheduler, now)
    outcome = scheduler.commit([answer(batch) for batch in tick.batches])
    for job, _ in outcome.ends:
        scheduler.remove(job)
    return tick, outcome


def producers(outcome: Outcome) -> list[int]:
    """Numbers of the jobs that got a token."""
    return [job.number for tokens in outcome.tokens for job in tokens.jobs]


def test_a_lone_sequence_takes_all_its_steps_at_once() -> None:
    """A length that is no power of two needs no extra run when nobody shares the batch."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 7, read=Read.LAST))
    tick, outcome = turn(scheduler)
    assert lengths(tick.batches) == [(7, 1)]
    ((_, end),) = outcome.ends
    assert end is FinishReason.SUPPLIED
    (read,) = outcome.outputs
    assert isinstance(read.event, Outputs)
    assert read.event.first == 6


def test_sequences_of_other_lengths_share_powers_of_two() -> None:
    """Lengths 7 and 5 advance together by 4, so nothing is padded."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 7))
    scheduler.add(make_job(1, 5))
    assert lengths(turn(scheduler)[0].batches) == [(4, 2)]


def test_a_long_input_beside_a_stream_takes_its_share_of_the_time() -> None:
    """A run here takes 1 ms a row and step: beside a stream of 8 ms a tick, half of that is 4 steps."""

    def timed(batch: Batch) -> BatchResult:
        return replace(answer(batch), seconds=SECONDS * batch.rows * batch.length)

    limits = SchedulerLimits(num_slots=20, max_batch=8, max_chunk=64, mixed_chunk=16, mixed_share=0.5)
    scheduler = Scheduler(limits)
    for number in range(8):
        scheduler.add(make_job(number, 1, produce=500))
    for number in range(8, 10):
        scheduler.add(make_job(number, 1000))
    planned = Counter[tuple[int, int]]()
    for ticks in range(60):
        batches = decide(scheduler).batches
        scheduler.commit([timed(batch) for batch in batches])
        if ticks > 2:  # by then both kinds of run have been measured
            planned.update(lengths(batches)[1:])
    assert planned == {(2, 2): 57}


def test_many_inputs_of_one_length_are_answered_in_batches_of_the_tick() -> None:
    """64 rows would take eight times the tick: 16 fill a run, and whoever came first is answered first."""

    def timed(batch: Batch) -> BatchResult:
        return replace(answer(batch), seconds=0.000625 * batch.rows)

    scheduler = Scheduler(SchedulerLimits(num_slots=64, max_batch=64, max_chunk=256, max_tick_s=0.005))
    scheduler.add(make_job(1000, 168))
    (batch,) = decide(scheduler).batches
    for job, _ in scheduler.commit([timed(batch)]).ends:
        scheduler.remove(job)
    for number in range(64):
        scheduler.add(make_job(number, 168, read=Read.LAST))
    answered: list[int] = []
    sizes: list[list[tuple[int, int]]] = []
    while scheduler.jobs:
        batches = decide(scheduler).batches
        outcome = scheduler.commit([timed(batch) for batch in batches])
        sizes.append(lengths(batches))
        for job, _ in outcome.ends:
            scheduler.remove(job)
            answered.append(job.number)
    assert answered == list(range(64))
    assert {rows for batches in sizes for _, rows in batches} == {16}


def test_a_long_input_advances_however_slow_it_is() -> None:
    """Where even one step is over the share, it takes one step a tick, and the stream still goes on."""
    limits = SchedulerLimits(num_slots=4, mixed_share=0.0, min_mixed_s=0.0)
    scheduler = Scheduler(limits)
    scheduler.add(make_job(0, 1, produce=50))
    scheduler.add(make_job(1, 1000))
    turn(scheduler)
    turn(scheduler)
    long = scheduler.jobs[1]
    for left in range(long.supplied - 1, long.supplied - 20, -1):
        tick, outcome = turn(scheduler)
        assert lengths(tick.batches) == [(1, 1), (1, 1)]
        assert (producers(outcome), long.supplied) == ([0], left)


def test_more_streams_than_a_batch_take_turns() -> None:
    """With four streams and batches of three, each gets every second tick."""
    scheduler = Scheduler(LIMITS)
    for number in range(4):
        scheduler.add(make_job(number, 1, produce=30))
    turn(scheduler)
    turn(scheduler)
    served = Counter[int]()
    for _ in range(8):
        served.update(producers(turn(scheduler)[1]))
    assert sorted(served.values()) == [4, 4, 4, 4]


def test_a_decode_batch_is_the_same_object_until_somebody_joins_or_leaves() -> None:
    """So that an executor may keep what it derived from it, and counters are right all the same."""
    scheduler = Scheduler(LIMITS)
    for number in range(2):
        scheduler.add(make_job(number, 1, produce=20))
    turn(scheduler)
    batches = [turn(scheduler)[0].batches[0] for _ in range(5)]
    assert len({id(batch) for batch in batches}) == 1
    first = scheduler.jobs[0]
    scheduler.remove(first)
    assert (first.produced, first.to_produce) == (6, 14)
    (after,) = turn(scheduler)[0].batches
    assert isinstance(after, DecodeBatch)
    assert after.slots == (1,)


def test_blocks_of_one_length_share_a_run_and_need_no_slot() -> None:
    """With every slot taken, two blocks run together, beside the stream; a third does not fit the batch."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1, max_batch=8, mixed_share=10.0))
    scheduler.add(make_job(0, 1, produce=50))
    turn(scheduler)
    for number, width in ((1, 4), (2, 4), (3, 1)):
        scheduler.add(make_block(number, width, 1))
    tick, outcome = turn(scheduler)
    assert lengths(tick.batches) == [(1, 1), (1, 8)]
    assert [job.number for job, end in outcome.ends if end is FinishReason.SUPPLIED] == [1, 2]
    assert lengths(turn(scheduler)[0].batches) == [(1, 1), (1, 1)]
    assert outcome.steps == 9


def test_the_earliest_deadline_is_admitted_first() -> None:
    """When slots are scarce, order is by deadline, then by arrival."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    for number, deadline in ((0, 9.0), (1, 5.0), (2, 5.0)):
        scheduler.add(make_job(number, 1, deadline=deadline))
    order = [turn(scheduler)[0].admitted[0].number for _ in range(3)]
    assert order == [1, 2, 0]


@pytest.mark.parametrize("deadline", [100.0, 50.0])
def test_what_was_cut_short_is_not_held_up_by_what_is_always_new(deadline: float) -> None:
    """With a newcomer in each turn, even more urgent ones, nobody goes first who came after its last turn."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1, max_batch=1, max_chunk=1, mixed_chunk=1))
    blocks = [make_block(0, 1, 4)]
    scheduler.add(blocks[0])
    last = 0
    for number in range(1, 20):
        (batch,) = turn(scheduler)[0].batches
        assert isinstance(batch, BlockBatch)
        (served,) = (job.number for job in blocks if job.part in batch.parts)
        last = number if served == 0 else last
        assert served <= last or blocks[0].gone
        blocks.append(make_block(number, 1, 1, deadline))
        scheduler.add(blocks[-1])
    assert blocks[0].gone


def test_expired_jobs_leave_at_once_waiting_or_running() -> None:
    """At its deadline a job is reported as expired and its slot is free."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    scheduler.add(make_job(0, 5, produce=100, deadline=3.0))
    scheduler.add(make_job(1, 5, deadline=3.0))
    turn(scheduler)
    tick, _ = turn(scheduler, now=3.0)
    assert sorted(job.number for job in tick.expired) == [0, 1]
    assert (scheduler.jobs, scheduler.slots_used, tick.batches) == ({}, 0, [])


def test_jobs_that_are_gone_are_forgotten_beside_one_that_stays() -> None:
    """However many short blocks and given-up sequences pass a stream with the earliest deadline."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    scheduler.add(make_job(0, 1, produce=10**6, deadline=50.0))
    for number in range(1, 10_001, 2):
        scheduler.add(make_block(number, 2, 1))
        waiting = make_job(number + 1, 1)
        scheduler.add(waiting)
        turn(scheduler)
        scheduler.remove(waiting)
    assert list(scheduler.jobs) == [0]
    assert len(scheduler._deadlines) + len(scheduler._waiting) < 3_000
    assert scheduler.expired(49.9) == []
    assert scheduler.expired(50.0) == [scheduler.jobs[0]]


def test_a_failed_batch_fails_its_own_rows_only() -> None:
    """One batch's error ends its jobs; the other batch's go on."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 1, produce=5))
    scheduler.add(make_job(1, 4))
    error = RunFailed("no")
    outcome = scheduler.commit(
        [answer(batch) if batch.length == 1 else failure(batch, error) for batch in decide(scheduler).batches]
    )
    assert [(job.number, end) for job, end in outcome.ends] == [(1, error)]
    assert producers(outcome) == [0]


def test_a_late_result_never_reaches_the_next_owner() -> None:
    """A job removed between plan and commit hears nothing, nor does whoever took its row."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    first = make_job(0, 3, read=Read.ALL)
    scheduler.add(first)
    batches = decide(scheduler).batches
    scheduler.remove(first)
    scheduler.add(make_job(1, 3, read=Read.ALL))
    outcome = scheduler.commit([answer(batch) for batch in batches])
    assert (outcome.outputs, outcome.tokens, outcome.ends, outcome.steps) == ([], [], [], 0)


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
        """A sequence or a block."""
        produce = self.data.draw(st.integers(0, 10))
        supplied = self.data.draw(st.integers(0 if produce else 1, 40))
        deadline = self.now + self.data.draw(st.sampled_from([5.0, 1e9]))
        number = len(self.jobs)
        job: Job
        if self.data.draw(st.integers(0, 3)) == 0:
            supplied = max(1, supplied)
            job = make_block(
                number, self.data.draw(st.integers(1, self.limits.max_batch)), supplied, deadline
            )
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
        planned = [
            slot for batch in tick.batches if not isinstance(batch, BlockBatch) for slot in batch.slots
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
        if luck == 0 and not isinstance(batch, BlockBatch):
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
        if end is FinishReason.LENGTH or end is FinishReason.SUPPLIED:
            assert self.tokens[job.number] == job.produced == produce
            assert isinstance(job, BlockJob) or self.reads[job.number] == supplied
        elif end is FinishReason.END:
            assert self.tokens[job.number] == job.produced < produce
