"""The scheduler with fabricated results: no model, no thread, no clock of its own."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import RunFailed
from app.core.plan import GroupPlan, GroupResult, PlanResult, SlotResult
from app.core.sequence import Feedback, FinishReason, Read, Sampling, SequenceRequest, Token
from app.engine.job import Job
from app.engine.scheduler import Progress, Scheduler, SchedulerLimits, Tick

LIMITS = SchedulerLimits(num_slots=4, max_batch=3, max_chunk=8, mixed_chunk=2, max_tick_steps=20)


def make_job(
    number: int, supplied: int, produce: int = 0, read: Read = Read.NONE, deadline: float = 100.0
) -> Job:
    """A job of a sequence of that many steps."""
    feedback = Feedback(produce, Sampling()) if produce else None
    return Job.of(number, SequenceRequest(np.zeros(supplied), read, feedback), deadline, 0.0)


def answer(group: GroupPlan) -> GroupResult:
    """A result as an executor would give it: one value per step read, one token per sample."""
    results = []
    for read, sample in zip(group.read, group.sample, strict=True):
        count = {Read.NONE: 0, Read.LAST: 1, Read.ALL: group.length}[read]
        values = (np.zeros(count, np.float32),) if count else ()
        results.append(SlotResult(values, Token(7) if sample else None))
    return GroupResult(tuple(results))


def turn(scheduler: Scheduler, now: float = 0.0) -> tuple[Tick, list[Progress]]:
    """One tick; jobs that ended are removed as the engine does."""
    tick = scheduler.plan(now)
    if tick.plan is None:
        return tick, []
    progress = scheduler.commit(tick.plan, PlanResult(tuple(answer(group) for group in tick.plan.groups)))
    for one in progress:
        if one.end is not None:
            scheduler.remove(one.job)
    return tick, progress


def test_a_lone_sequence_takes_all_its_steps_at_once() -> None:
    """A length that is no power of two needs no extra run when nobody shares the batch."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 7, read=Read.LAST))
    tick, progress = turn(scheduler)
    assert tick.plan is not None
    assert [group.length for group in tick.plan.groups] == [7]
    assert progress[0].end is FinishReason.SUPPLIED
    assert progress[0].outputs is not None
    assert progress[0].outputs.first == 6


def test_sequences_of_other_lengths_share_powers_of_two() -> None:
    """Lengths 7 and 5 advance together by 4, so nothing is padded."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 7))
    scheduler.add(make_job(1, 5))
    tick, _ = turn(scheduler)
    assert tick.plan is not None
    assert [(group.length, len(group.slots)) for group in tick.plan.groups] == [(4, 2)]


def test_long_inputs_go_in_small_chunks_beside_single_steps() -> None:
    """While somebody advances by single steps, a long input advances by mixed_chunk only."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 1, produce=50))
    scheduler.add(make_job(1, 1000))
    for _ in range(5):
        tick, progress = turn(scheduler)
        assert tick.plan is not None
        assert [group.length for group in tick.plan.groups] == [1, 2]
        assert any(one.token is not None for one in progress)


def test_more_single_steppers_than_a_batch_take_turns() -> None:
    """With four streams and batches of three, none waits for more than one tick."""
    scheduler = Scheduler(LIMITS)
    for number in range(4):
        scheduler.add(make_job(number, 1, produce=30))
    served = Counter[int]()
    for _ in range(8):
        for one in turn(scheduler)[1]:
            served[one.job.number] += 1
    assert sorted(served.values()) == [6, 6, 6, 6]


def test_the_earliest_deadline_is_admitted_first() -> None:
    """When slots are scarce, order is by deadline, then by arrival."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    for number, deadline in ((0, 9.0), (1, 5.0), (2, 5.0)):
        scheduler.add(make_job(number, 1, deadline=deadline))
    order = [turn(scheduler)[0].admitted[0].number for _ in range(3)]
    assert order == [1, 2, 0]


def test_expired_jobs_leave_at_once_waiting_or_running() -> None:
    """At its deadline a job is reported as expired and its slot is free."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    scheduler.add(make_job(0, 5, produce=100, deadline=3.0))
    scheduler.add(make_job(1, 5, deadline=3.0))
    turn(scheduler)
    tick, _ = turn(scheduler, now=3.0)
    assert sorted(job.number for job in tick.expired) == [0, 1]
    assert (scheduler.num_jobs, scheduler.num_running, tick.plan) == (0, 0, None)


def test_a_failed_group_fails_its_own_rows_only() -> None:
    """One group's error ends its jobs; the other group's go on."""
    scheduler = Scheduler(LIMITS)
    scheduler.add(make_job(0, 1, produce=5))
    scheduler.add(make_job(1, 4))
    tick = scheduler.plan(0.0)
    assert tick.plan is not None
    error = RunFailed("no")
    results = [answer(group) if group.length == 1 else GroupResult(error=error) for group in tick.plan.groups]
    ends = {one.job.number: one.end for one in scheduler.commit(tick.plan, PlanResult(tuple(results)))}
    assert ends == {0: None, 1: error}


def test_a_late_result_never_reaches_the_next_owner() -> None:
    """A job removed between plan and commit hears nothing, nor does whoever took its row."""
    scheduler = Scheduler(SchedulerLimits(num_slots=1))
    first = make_job(0, 3, read=Read.ALL)
    scheduler.add(first)
    tick = scheduler.plan(0.0)
    assert tick.plan is not None
    scheduler.remove(first)
    scheduler.add(make_job(1, 3, read=Read.ALL))
    assert scheduler.commit(tick.plan, PlanResult(tuple(answer(group) for group in tick.plan.groups))) == []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_job_ends_exactly_once_and_takes_exactly_its_steps(data: st.DataObject) -> None:
    """Under random arrivals, aborts, failures and deadlines no slot leaks and no step is lost."""
    limits = SchedulerLimits(
        num_slots=data.draw(st.integers(1, 5)),
        max_batch=data.draw(st.integers(1, 4)),
        max_chunk=data.draw(st.sampled_from([1, 4, 16])),
        mixed_chunk=data.draw(st.sampled_from([1, 2])),
        max_tick_steps=data.draw(st.integers(1, 40)),
    )
    scheduler, now = Scheduler(limits), 0.0
    ended, reads, tokens = Counter[int](), Counter[int](), Counter[int]()
    jobs: dict[int, tuple[Job, int, int]] = {}
    aborted = set[int]()
    arrivals = data.draw(st.integers(1, 12))
    for _ in range(2000):
        if len(jobs) < arrivals and data.draw(st.booleans()):
            supplied, produce = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 10))
            job = make_job(
                len(jobs), supplied, produce, Read.ALL, now + data.draw(st.sampled_from([5.0, 1e9]))
            )
            jobs[job.number] = (job, supplied, produce)
            scheduler.add(job)
        elif len(jobs) == arrivals and scheduler.num_jobs == 0:
            break
        tick = scheduler.plan(now)
        now += 0.1
        ended.update(job.number for job in tick.expired)
        if tick.plan is None:
            continue
        refs = [ref for group in tick.plan.groups for ref in group.slots]
        assert len(set(refs)) == len(refs)
        assert all(len(group.slots) <= limits.max_batch for group in tick.plan.groups)
        results = []
        for group in tick.plan.groups:
            fails = data.draw(st.integers(0, 30)) == 0
            results.append(GroupResult(error=RunFailed("no")) if fails else answer(group))
        known = [job for job, _, _ in jobs.values() if scheduler.find(job.number)]
        if known and data.draw(st.integers(0, 15)) == 0:
            victim = data.draw(st.sampled_from(known))
            scheduler.remove(victim)
            aborted.add(victim.number)
        for one in scheduler.commit(tick.plan, PlanResult(tuple(results))):
            assert one.job.number not in aborted
            reads[one.job.number] += len(one.outputs.values[0]) if one.outputs else 0
            tokens[one.job.number] += one.token is not None
            if one.end is not None:
                ended[one.job.number] += 1
                scheduler.remove(one.job)
                if isinstance(one.end, FinishReason):
                    _, supplied, produce = jobs[one.job.number]
                    assert (reads[one.job.number], tokens[one.job.number]) == (supplied, produce)
    assert scheduler.num_jobs == scheduler.num_running == 0
    assert set(ended) | aborted == set(jobs)
    assert not set(ended) & aborted
    assert all(count == 1 for count in ended.values())
