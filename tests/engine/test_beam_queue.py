"""Which searches take a step in a tick: beside streams, in turns, and in the order of their deadlines."""

from __future__ import annotations

from collections import Counter

import numpy as np

from app.core.plan import BatchResult, BeamBatch, DecodeBatch
from app.engine.beam_job import BeamJob
from app.engine.load import SchedulerLimits
from app.engine.scheduler import Scheduler
from tests.engine.scheduling import make_job, make_search, turn


def step(scheduler: Scheduler) -> list[int]:
    """The width of each search that took a step in the next tick."""
    tick, _ = turn(scheduler)
    (batch,) = [batch for batch in tick.batches if isinstance(batch, BeamBatch)]
    return [part.request.width for part in batch.parts]


def test_searches_take_their_steps_together() -> None:
    """All that are under way, in one run."""
    scheduler = Scheduler(SchedulerLimits(max_batch=100))
    for width in (1, 2, 3, 4):
        scheduler.add(make_search(width, width, 0, 5))
    for _ in range(5):
        assert step(scheduler) == [1, 2, 3, 4]
    assert not scheduler.jobs


def test_searches_that_are_alone_take_several_steps_in_a_tick() -> None:
    """As many as some milliseconds hold, all counted; one at a time once there is anybody else."""
    scheduler = Scheduler(SchedulerLimits())
    search = make_search(0, 2, 0, 30)
    scheduler.add(search)

    def taken(turns: int) -> int:
        (batch,) = scheduler.plan(0.0)
        assert isinstance(batch, BeamBatch)
        outcome = scheduler.commit([BatchResult(seconds=turns * 0.001, turns=turns)])
        assert outcome.steps == 2 * turns
        return batch.most_turns

    scheduler.admit()
    assert taken(1) == 1  # how long one takes is not known
    assert [taken(4), taken(4), taken(2)] == [4, 4, 4]
    assert (search.to_produce, search.produced) == (30 - 11, 2 * 11)
    scheduler.add(make_search(1, 3, 0, 30))
    scheduler.add(make_job(2, 1, 50))
    for _ in range(4):
        tick, _ = turn(scheduler)
        assert {batch.most_turns for batch in tick.batches if isinstance(batch, BeamBatch)} <= {1}


def test_beside_a_stream_few_searches_take_a_step_at_once() -> None:
    """Then all in turns; and together again when the stream has ended."""
    scheduler = Scheduler(SchedulerLimits(max_batch=100))
    for width in range(2, 10):
        scheduler.add(make_search(width, width, 0, 10_000))
    stream = make_job(0, 1, 500)
    scheduler.add(stream)
    for _ in range(20):
        step(scheduler)  # a run takes a millisecond in these tests, whatever is in it
    seen = [step(scheduler) for _ in range(16)]
    assert {len(widths) for widths in seen} == {1}
    assert Counter(width for widths in seen for width in widths) == dict.fromkeys(range(2, 10), 2)
    scheduler.remove(stream)
    assert sorted(step(scheduler)) == list(range(2, 10))


def test_a_stream_goes_on_at_every_tick() -> None:
    """However many searches there are."""
    scheduler = Scheduler(SchedulerLimits(max_batch=16))
    scheduler.add(make_job(0, 1, 50))
    for number in range(1, 40):
        scheduler.add(make_search(number, 4, number % 5, 30))
    turn(scheduler)
    for _ in range(49):
        tick, outcome = turn(scheduler)
        assert isinstance(tick.batches[0], DecodeBatch)
        assert [len(tokens.jobs) for tokens in outcome.tokens] == [1]


def test_where_searches_do_not_fit_into_a_run_each_has_its_turn() -> None:
    """While others come and go none waits for longer than the others' turns take."""
    scheduler = Scheduler(SchedulerLimits(max_batch=128, max_tick_s=0.0003))
    random = np.random.default_rng(0)
    waited = Counter[int]()
    longest = 0
    number = 0
    for _ in range(600):
        while len(scheduler.jobs) < 16:
            scheduler.add(make_search(number, 8, 0, int(random.integers(1, 20))))
            number += 1
        tick, _ = turn(scheduler)
        (batch,) = [batch for batch in tick.batches if isinstance(batch, BeamBatch)]
        under_way = [job for job in scheduler.jobs.values() if isinstance(job, BeamJob)]
        for job in under_way:
            waited[job.number] = 0 if job.part in batch.parts else waited[job.number] + 1
            longest = max(longest, waited[job.number])
    assert number > 100
    assert 3 <= longest <= 8


def test_what_waits_begins_when_others_end_the_earliest_deadline_first() -> None:
    """Searches under way have as many rows as a run at most; a wider one runs alone."""
    scheduler = Scheduler(SchedulerLimits(max_batch=8))
    for number, (width, deadline) in enumerate([(4, 50), (4, 60), (3, 90), (9, 70), (2, 80), (5, 100)]):
        scheduler.add(make_search(number, width, 0, 2, deadline))
    assert [step(scheduler) for _ in range(8)] == [[4, 4], [4, 4], [9], [9], [2, 3], [2, 3], [5], [5]]


def test_searches_that_leave_while_they_wait_are_forgotten() -> None:
    """The queue does not grow with those that are given up."""
    scheduler = Scheduler(SchedulerLimits(max_batch=4))
    scheduler.add(make_search(0, 4, 0, 10))
    turn(scheduler)
    for number in range(1, 2000):
        job = make_search(number, 4, 0, 10)
        scheduler.add(job)
        scheduler.remove(job)
    assert len(scheduler._beams._order) < 200
    assert step(scheduler) == [4]
