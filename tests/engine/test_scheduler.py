"""The scheduler with fabricated results: no model, no thread, no clock of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import RunFailed
from app.core.plan import AnyPlan, BlockPlan, DecodePlan, GroupResult, PlanResult
from app.core.sequence import BlockRequest, Feedback, FinishReason, Read, Sampling, SequenceRequest
from app.engine.job import Job
from app.engine.outcome import Outcome, Progress
from app.engine.scheduler import Scheduler, SchedulerLimits, Tick

SECONDS = 0.001
LIMITS = SchedulerLimits(num_slots=4, max_batch=3, max_chunk=8, mixed_chunk=2, max_tick_steps=20)


def make_job(
    number: int, supplied: int, produce: int = 0, read: Read = Read.NONE, deadline: float = 100.0
) -> Job:
    """A job of a sequence of that many steps."""
    feedback = Feedback(produce, Sampling()) if produce else None
    return Job.of(number, SequenceRequest(np.zeros(supplied), read, feedback), deadline, 0.0)


def make_block(number: int, width: int, length: int, deadline: float = 100.0) -> Job:
    """The job of a block of that many rows and steps."""
    return Job.of_block(number, BlockRequest(np.zeros((width, length))), deadline, 0.0)


def answer(group: AnyPlan) -> GroupResult:
    """A result as an executor would give it: a value per step and row, one token per sample."""
    if isinstance(group, BlockPlan):
        return GroupResult(seconds=SECONDS)
    sampled = group.rows if isinstance(group, DecodePlan) else sum(group.sample)
    return GroupResult((np.zeros((group.rows, group.length), np.float32),), [7] * sampled, seconds=SECONDS)


def failure(group: AnyPlan, error: RunFailed) -> GroupResult:
    """The result of a run that failed as a whole."""
    return GroupResult(errors=dict.fromkeys(range(group.rows), error), seconds=SECONDS)


def lengths(tick: Tick) -> list[tuple[int, int]]:
    """Length and rows of each group of a tick."""
    return [] if tick.plan is None else [(group.length, group.rows) for group in tick.plan.groups]


def turn(scheduler: Scheduler, now: float = 0.0) -> tuple[Tick, Outcome]:
    """One tick; jobs that ended are removed as the engine does."""
    tick = scheduler.plan(now)
    if tick.plan is None:
        return tick, Outcome()
    outcome = scheduler.commit(tick.plan, PlanResult(tuple(answer(group) for group in tick.plan.groups)))
    for one in outcome.progress:
        if one.end is not None:
            scheduler.remove(one.job)
    return tick, outcome


def producers(outcome: Outcome) -> list[int]:
    """Numbers of the jobs that got a token."""
    return [job.number for batch in outcome.batches for job in batch.jobs]


def test_a_lone_sequence_takes_all_its_steps_at_once() -> None:
    """A length that is no power of two needs no extra run when nobody shares the batch."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 7, read=Read.LAST))
    tick, outcome = turn(scheduler)
    assert lengths(tick) == [(7, 1)]
    (only,) = outcome.progress
    assert only.end is FinishReason.SUPPLIED
    assert only.outputs is not None
    assert only.outputs.first == 6


def test_sequences_of_other_lengths_share_powers_of_two() -> None:
    """Lengths 7 and 5 advance together by 4, so nothing is padded."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 7))
    scheduler.add(make_job(1, 5))
    assert lengths(turn(scheduler)[0]) == [(4, 2)]


def test_a_long_input_beside_a_stream_takes_its_share_of_the_time() -> None:
    """A run here takes 1 ms a row and step: beside a stream of 8 ms a tick, half of that is 4 steps."""

    def timed(group: AnyPlan) -> GroupResult:
        return replace(answer(group), seconds=SECONDS * group.rows * group.length)

    limits = SchedulerLimits(num_slots=20, max_batch=8, max_chunk=64, mixed_chunk=16, mixed_share=0.5)
    scheduler = Scheduler(limits)
    for number in range(8):
        scheduler.add(make_job(number, 1, produce=500))
    for number in range(8, 10):
        scheduler.add(make_job(number, 1000))
    planned = Counter[tuple[int, int]]()
    for ticks in range(60):
        tick = scheduler.plan(0.0)
        assert tick.plan is not None
        scheduler.commit(tick.plan, PlanResult(tuple(timed(group) for group in tick.plan.groups)))
        if ticks > 2:  # by then both kinds of run have been measured
            planned.update(lengths(tick)[1:])
    assert planned == {(2, 2): 57}


def test_many_inputs_of_one_length_are_answered_in_batches_of_the_tick() -> None:
    """64 rows would take eight times the tick: 16 fill a run, and whoever came first is answered first."""

    def timed(group: AnyPlan) -> GroupResult:
        return replace(answer(group), seconds=0.000625 * group.rows)

    scheduler = Scheduler(SchedulerLimits(num_slots=64, max_batch=64, max_chunk=256, max_tick_s=0.005))
    scheduler.add(make_job(1000, 168))
    tick = scheduler.plan(0.0)
    assert tick.plan is not None
    for one in scheduler.commit(tick.plan, PlanResult((timed(tick.plan.groups[0]),))).progress:
        scheduler.remove(one.job)
    for number in range(64):
        scheduler.add(make_job(number, 168, read=Read.LAST))
    answered: list[int] = []
    sizes: list[list[tuple[int, int]]] = []
    while scheduler.num_jobs:
        tick = scheduler.plan(0.0)
        assert tick.plan is not None
        outcome = scheduler.commit(tick.plan, PlanResult(tuple(timed(one) for one in tick.plan.groups)))
        sizes.append(lengths(tick))
        for one in outcome.progress:
            scheduler.remove(one.job)
            answered.append(one.job.number)
    assert answered == list(range(64))
    assert {rows for groups in sizes for _, rows in groups} == {16}


def test_a_long_input_advances_however_slow_it_is() -> None:
    """Where even one step is over the share, it takes one step a tick, and the stream still goes on."""
    limits = SchedulerLimits(num_slots=4, mixed_share=0.0, min_mixed_s=0.0)
    scheduler = Scheduler(limits)
    scheduler.add(make_job(0, 1, produce=50))
    scheduler.add(make_job(1, 1000))
    turn(scheduler)
    turn(scheduler)
    long = scheduler.find(1)
    assert long is not None
    for left in range(long.supplied - 1, long.supplied - 20, -1):
        tick, outcome = turn(scheduler)
        assert lengths(tick) == [(1, 1), (1, 1)]
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


def test_a_plan_of_streams_is_the_same_object_until_somebody_joins_or_leaves() -> None:
    """So that an executor may keep what it derived from it, and counters are right all the same."""
    scheduler = Scheduler(LIMITS)
    for number in range(2):
        scheduler.add(make_job(number, 1, produce=20))
    turn(scheduler)
    plans = [turn(scheduler)[0].plan for _ in range(5)]
    assert len({id(plan.groups[0]) for plan in plans if plan is not None}) == 1
    first = scheduler.find(0)
    assert first is not None
    scheduler.remove(first)
    assert (first.produced, first.to_produce) == (6, 14)
    after = turn(scheduler)[0].plan
    assert after is not None
    assert [ref.index for ref in after.groups[0].slots] == [1]  # type: ignore[union-attr]  # a decode plan


def test_blocks_of_one_length_share_a_run_and_need_no_slot() -> None:
    """With every slot taken, two blocks run together, beside the stream; a third does not fit the batch."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1, max_batch=8, mixed_share=10.0))
    scheduler.add(make_job(0, 1, produce=50))
    turn(scheduler)
    for number, width in ((1, 4), (2, 4), (3, 1)):
        scheduler.add(make_block(number, width, 1))
    tick, outcome = turn(scheduler)
    assert lengths(tick) == [(1, 1), (1, 8)]
    assert [one.job.number for one in outcome.progress if one.end is FinishReason.SUPPLIED] == [1, 2]
    assert lengths(turn(scheduler)[0]) == [(1, 1), (1, 1)]
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
    scheduler.add(make_block(0, 1, 4))
    last = 0
    for number in range(1, 20):
        plan = turn(scheduler)[0].plan
        assert plan is not None
        (served,) = (one for group in plan.groups if isinstance(group, BlockPlan) for one in group.numbers)
        last = number if served == 0 else last
        assert served <= last or scheduler.find(0) is None
        scheduler.add(make_block(number, 1, 1, deadline))
    assert scheduler.find(0) is None


def test_expired_jobs_leave_at_once_waiting_or_running() -> None:
    """At its deadline a job is reported as expired and its slot is free."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    scheduler.add(make_job(0, 5, produce=100, deadline=3.0))
    scheduler.add(make_job(1, 5, deadline=3.0))
    turn(scheduler)
    tick, _ = turn(scheduler, now=3.0)
    assert sorted(job.number for job in tick.expired) == [0, 1]
    assert (scheduler.num_jobs, scheduler.num_running, tick.plan) == (0, 0, None)


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
    assert scheduler.num_jobs == 1
    assert len(scheduler._deadlines) + len(scheduler._waiting) < 3_000
    assert scheduler.next_deadline() == 50.0


def test_a_failed_group_fails_its_own_rows_only() -> None:
    """One group's error ends its jobs; the other group's go on."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 1, produce=5))
    scheduler.add(make_job(1, 4))
    tick = scheduler.plan(0.0)
    assert tick.plan is not None
    error = RunFailed("no")
    results = [answer(group) if group.length == 1 else failure(group, error) for group in tick.plan.groups]
    outcome = scheduler.commit(tick.plan, PlanResult(tuple(results)))
    assert [(one.job.number, one.end) for one in outcome.progress] == [(1, error)]
    assert producers(outcome) == [0]


def test_a_late_result_never_reaches_the_next_owner() -> None:
    """A job removed between plan and commit hears nothing, nor does whoever took its row."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    first = make_job(0, 3, read=Read.ALL)
    scheduler.add(first)
    tick = scheduler.plan(0.0)
    assert tick.plan is not None
    scheduler.remove(first)
    scheduler.add(make_job(1, 3, read=Read.ALL))
    outcome = scheduler.commit(tick.plan, PlanResult(tuple(answer(group) for group in tick.plan.groups)))
    assert (outcome.progress, outcome.batches, outcome.steps) == ([], [], 0)


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
        elif len(run.jobs) == arrivals and run.scheduler.num_jobs == 0:
            break
        run.tick()
    assert run.scheduler.num_jobs == run.scheduler.num_running == 0
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
        supplied, produce = self.data.draw(st.integers(1, 40)), self.data.draw(st.integers(0, 10))
        deadline = self.now + self.data.draw(st.sampled_from([5.0, 1e9]))
        number = len(self.jobs)
        if self.data.draw(st.integers(0, 3)) == 0:
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
        tick = self.scheduler.plan(self.now)
        self.now += 0.1
        for job in tick.expired:
            self.ended[job.number] += 1
            self.queued -= job.steps_left
        if tick.plan is None:
            return
        refs = [ref for group in tick.plan.groups if not isinstance(group, BlockPlan) for ref in group.slots]
        assert len(set(refs)) == len(refs)
        assert all(0 < group.rows <= self.limits.max_batch for group in tick.plan.groups)
        results = tuple(self.outcome(group) for group in tick.plan.groups)
        known = [job for job, _, _ in self.jobs.values() if self.scheduler.find(job.number)]
        if known and self.data.draw(st.integers(0, 15)) == 0:
            victim = self.data.draw(st.sampled_from(known))
            self.leave(victim)
            self.aborted.add(victim.number)
        self.book(self.scheduler.commit(tick.plan, PlanResult(results)))

    def outcome(self, group: AnyPlan) -> GroupResult:
        """A good result, one whose first token stops a stream, or a failed one."""
        luck = self.data.draw(st.integers(0, 30))
        if luck == 0 and not isinstance(group, BlockPlan):
            return failure(group, RunFailed("no"))
        if luck == 1 and isinstance(group, DecodePlan):
            return replace(answer(group), ended={0: FinishReason.END})
        return answer(group)

    def book(self, outcome: Outcome) -> None:
        """Count what came."""
        self.queued -= outcome.steps
        for batch in outcome.batches:
            assert len(batch.jobs) == len(batch.tokens)
        for number in producers(outcome):
            assert number not in self.aborted
            self.tokens[number] += 1
        for one in outcome.progress:
            number = one.job.number
            assert number not in self.aborted
            self.reads[number] += len(one.outputs.values[0]) if one.outputs else 0
            if one.end is not None:
                self.finish(one, number)

    def finish(self, one: Progress, number: int) -> None:
        """A job has ended: unless it failed or was stopped, it has had all that it asked for."""
        self.ended[number] += 1
        self.leave(one.job)
        job, supplied, produce = self.jobs[number]
        assert isinstance(one.end, RunFailed) or job.consumed == supplied
        if one.end is FinishReason.LENGTH or one.end is FinishReason.SUPPLIED:
            assert self.tokens[number] == job.produced == produce
            assert job.is_block or self.reads[number] == supplied
        elif one.end is FinishReason.END:
            assert self.tokens[number] == job.produced < produce
