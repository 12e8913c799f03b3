"""The scheduler with fabricated results: no model, no thread, no clock of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BlockBatch, DecodeBatch
from app.core.sequence import FinishReason, Outputs, Read
from app.engine.load import SchedulerLimits
from app.engine.scheduler import Scheduler
from tests.engine.scheduling import (
    SECONDS,
    answer,
    decide,
    failure,
    lengths,
    make_block,
    make_job,
    producers,
    turn,
)

LIMITS = SchedulerLimits(num_slots=4, max_batch=3, max_chunk=8, mixed_chunk=2, max_tick_steps=20)


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
