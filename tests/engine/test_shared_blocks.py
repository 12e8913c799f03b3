"""Sequences that are handed in during one pass of the event loop: together as if each were alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import DeadlineExceeded, Overloaded, RunFailed
from app.core.plan import Batch, BlockBatch
from app.core.sequence import BlockRequest, BlockResult, Read
from app.engine.block import MAX_SHARED
from app.engine.engine import Engine
from app.engine.load import EngineLoad, QueueLimits, SchedulerLimits
from tests.engine.driving import EMPTY, StartEngine, idle, numbers, soon
from tests.engine.watched import Watched, check_alone, one_row
from tests.fakes import FakeClock, SumExecutor

# One step a turn, so that there is a time between the first turn and the last.
SLOW = SchedulerLimits(num_slots=1, max_chunk=1)


async def test_what_comes_together_is_one_block(start: StartEngine) -> None:
    """Each caller has its own bits, and what it cost is its own but for the batch."""
    engine = start(executor := Watched())
    requests = [one_row(0.1 * row, 0.7, -0.3, read=Read.ALL) for row in range(5)]
    results = await asyncio.gather(*(engine.submit_block(one, soon()) for one in requests))
    assert executor.opened == [(5, 3)]
    for request, result in zip(requests, results, strict=True):
        check_alone(request, result)
        assert result.usage.largest_batch == 5
    assert engine.load() == EMPTY


async def test_a_row_that_fails_is_its_callers_own(start: StartEngine) -> None:
    """Its neighbours in the same run have no error."""
    engine = start(executor := Watched())
    requests = [one_row(value, 1.0) for value in (1.0, np.nan, 2.0, np.inf)]
    results = await asyncio.gather(*(engine.submit_block(one, soon()) for one in requests))
    assert executor.opened == [(4, 2)]
    assert [bool(result.errors) for result in results] == [False, True, False, True]
    for request, result in zip(requests, results, strict=True):
        check_alone(request, result)


async def test_a_run_that_fails_fails_all_of_its_callers(start: StartEngine) -> None:
    """As it would have failed each of them; the engine goes on."""

    def poison(batch: Batch) -> None:
        if batch.length == 2:
            raise RunFailed("poison")

    engine = start(SumExecutor(fail_on=poison))
    results = await asyncio.gather(*(engine.submit_block(one_row(1, 2), soon()) for _ in range(3)))
    assert [{row: type(error) for row, error in one.errors.items()} for one in results] == [
        {0: RunFailed}
    ] * 3
    check_alone(one_row(1), await engine.submit_block(one_row(1), soon()))
    assert engine.load() == EMPTY


async def test_the_earliest_deadline_counts(start: StartEngine) -> None:
    """Of those that are close to each other; one that is far from them has its own."""
    clock = FakeClock()

    def passes(batch: Batch) -> None:
        # The third turn is over when the first two are late.
        clock.now = 1.03 if executor.num_turns >= 3 else 0.5

    engine = start(executor := Watched(fail_on=passes), limits=SLOW, clock=clock)
    request = BlockRequest(np.ones((1, 200), np.float32))
    futures = [engine.submit_block(request, deadline) for deadline in (1.05, 1.02, 1.5)]
    for late in futures[:2]:
        with pytest.raises(DeadlineExceeded):
            await late
    check_alone(request, await futures[2])
    assert executor.opened == [(2, 200), (1, 200)]
    await idle(engine)


async def test_only_what_is_alike_is_joined(start: StartEngine) -> None:
    """Not other lengths, nor other reads, nor rows of somebody's own, nor blocks of several rows."""
    engine = start(executor := Watched())
    alike = [one_row(1, 2), one_row(3, 4), one_row(1, 2, 3), one_row(1, 2, read=Read.ALL)]
    own_row = BlockRequest(np.ones((1, 2), np.float32), Read.LAST, starts=numbers(5)[None])
    wide = BlockRequest(np.ones((3, 2), np.float32), Read.LAST)
    futures = [engine.submit_block(one, soon()) for one in (*alike, own_row, wide)]
    results = await asyncio.gather(*futures)
    for request, result in zip(alike, results, strict=False):
        check_alone(request, result)
    assert [result.rows[:, 0].tolist() for result in results[4:]] == [[7], [2, 2, 2]]
    assert sorted(executor.opened) == [(1, 2), (1, 2), (1, 3), (2, 2), (3, 2)]


async def test_more_than_fit_are_several_blocks(start: StartEngine) -> None:
    """A full one goes at once, without waiting for the pass to end."""
    engine = start(executor := Watched())
    requests = [one_row(row, 0.1) for row in range(2 * MAX_SHARED + 6)]
    results = await asyncio.gather(*(engine.submit_block(one, soon()) for one in requests))
    for request, result in zip(requests, results, strict=True):
        check_alone(request, result)
    assert executor.opened == [(MAX_SHARED, 2), (MAX_SHARED, 2), (6, 2)]
    assert engine.load() == EMPTY


async def test_a_block_is_no_wider_than_a_run(start: StartEngine) -> None:
    """Where runs are narrower than what is joined, it is cut again, and each caller has its own part."""
    engine = start(executor := Watched(), limits=SchedulerLimits(num_slots=1, max_batch=3))
    requests = [one_row(row, 0.1) for row in range(8)]
    results = await asyncio.gather(*(engine.submit_block(one, soon()) for one in requests))
    for request, result in zip(requests, results, strict=True):
        check_alone(request, result)
    assert sum(rows for rows, _ in executor.opened) == 8
    assert max(batch.rows for batch in executor.batches) <= 3
    assert all(isinstance(batch, BlockBatch) for batch in executor.batches)


async def test_what_does_not_fit_is_refused_at_once(start: StartEngine) -> None:
    """Those before it in the same pass count; it is not booked itself."""
    engine = start(Watched(), QueueLimits(max_steps=6, max_sequences=3))
    futures = [engine.submit_block(one_row(1, 2), soon()) for _ in range(2)]
    for refused in (one_row(1, 2, 3), BlockRequest(np.ones((2, 1), np.float32))):
        with pytest.raises(Overloaded):
            engine.submit_block(refused, soon())
    assert engine.load() == EngineLoad(4, 2)
    await asyncio.gather(*futures)
    assert engine.load() == EMPTY


@dataclass(frozen=True)
class Visit:
    """One sequence of a crowd: what it asks for, and when it comes and goes.

    Attributes:
        pause: passes of the loop before it is handed in, counted from the one before it.
        patience: passes after which it is given up, unless it has been answered; ``None`` for never.
    """

    request: BlockRequest
    pause: int
    patience: int | None


VISITS = st.lists(
    st.builds(
        Visit,
        st.builds(
            lambda values, read: one_row(*values, read=read),
            st.lists(st.sampled_from([0.1, 0.7, -0.3, 1e7, np.nan]), min_size=1, max_size=3),
            st.sampled_from(Read),
        ),
        pause=st.sampled_from([0, 0, 0, 1, 3]),
        patience=st.sampled_from([None, None, 0, 1, 2, 5]),
    ),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("on_loop", [False, True], ids=["thread", "loop"])
@settings(max_examples=60, deadline=None)
@given(visits=VISITS, max_batch=st.sampled_from([2, 5, 64]), max_chunk=st.sampled_from([1, 256]))
def test_nobody_notices_the_others(
    on_loop: bool, visits: list[Visit], max_batch: int, max_chunk: int
) -> None:
    """Whoever comes, goes and fails beside it: each has what it would have had alone, exactly once."""
    executor = Watched()
    limits = SchedulerLimits(num_slots=1, max_batch=max_batch, max_chunk=max_chunk)
    engine = Engine("sum", executor, limits, QueueLimits(), on_loop=on_loop)
    mishaps: list[dict[str, object]] = []

    async def visit(one: Visit) -> BlockResult | None:
        future = engine.submit_block(one.request, soon(60))
        if one.patience is not None:
            for _ in range(one.patience):
                await asyncio.sleep(0)
            if future.cancel():
                return None
        return await future

    async def crowd() -> list[BlockResult | None]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: mishaps.append(context))
        engine.start(loop)
        try:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                tasks = []
                for one in visits:
                    for _ in range(one.pause):
                        await asyncio.sleep(0)
                    tasks.append(group.create_task(visit(one)))
            await idle(engine)
        finally:
            engine.close()
        return [task.result() for task in tasks]

    for one, result in zip(visits, asyncio.run(crowd()), strict=True):
        if result is not None:
            check_alone(one.request, result)
        else:
            assert one.patience is not None
    # An answer that came twice would be an error in a callback of the loop.
    assert mishaps == []
    assert engine._scheduler.jobs == {}
