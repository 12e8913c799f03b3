"""Joined sequences that come to nothing: given up before or during the run, or left by their engine."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from app.core.errors import DeadlineExceeded, Draining, EngineDead
from app.core.plan import Batch
from app.core.sequence import BlockRequest
from app.engine.block import MAX_SHARED
from app.engine.load import SchedulerLimits
from tests.engine.driving import EMPTY, StartEngine, idle, soon, until
from tests.engine.watched import Watched, check_alone, one_row
from tests.fakes import SumExecutor

# One step a turn, so that there is a time between the first turn and the last.
SLOW = SchedulerLimits(num_slots=1, max_chunk=1)
LONG = 100_000


async def test_one_that_is_given_up_at_once_is_not_run(start: StartEngine) -> None:
    """Nor is it booked any more; where all are given up, nothing runs."""
    engine = start(executor := Watched())
    requests = [one_row(row, 1.0) for row in range(4)]
    futures = [engine.submit_block(one, soon()) for one in requests]
    futures[1].cancel()
    for place in (0, 2, 3):
        check_alone(requests[place], await asyncio.wait_for(futures[place], 10))
    assert executor.opened == [(3, 2)]
    await idle(engine)
    for future in [engine.submit_block(one, soon()) for one in requests]:
        future.cancel()
    await idle(engine)
    assert executor.opened == [(3, 2)]


async def test_one_that_is_given_up_while_it_runs_leaves_its_neighbours(start: StartEngine) -> None:
    """They have their bits; the books are balanced at the end."""
    engine = start(executor := Watched(), limits=SLOW)
    requests = [BlockRequest(np.full((1, 2_000), value, np.float32)) for value in (0.1, 0.2, 0.3)]
    futures = [engine.submit_block(one, soon()) for one in requests]
    await until(lambda: executor.batches)
    futures[0].cancel()
    for place in (1, 2):
        check_alone(requests[place], await asyncio.wait_for(futures[place], 10))
    assert executor.opened == [(3, 2_000)]
    await idle(engine)


async def test_one_that_is_given_up_during_its_last_run(start_thread: StartEngine) -> None:
    """Too late to save any work, and in time for its neighbours not to notice."""
    gate = threading.Event()
    engine = start_thread(executor := Watched(gate=gate))
    requests = [one_row(row, 1.0) for row in range(3)]
    futures = [engine.submit_block(one, soon()) for one in requests]
    await until(lambda: executor.batches)
    futures[2].cancel()
    gate.set()
    for place in (0, 1):
        check_alone(requests[place], await asyncio.wait_for(futures[place], 10))
    await idle(engine)


async def test_a_block_that_everybody_has_given_up_is_aborted(start: StartEngine) -> None:
    """Not before the last one, and long before its end."""
    engine = start(executor := Watched(), limits=SLOW)
    futures = [engine.submit_block(BlockRequest(np.zeros((1, LONG), np.float32)), soon(60)) for _ in range(3)]
    await until(lambda: executor.batches)
    for future in futures[:2]:
        future.cancel()
    turns = executor.num_turns
    await until(lambda: executor.num_turns >= turns + 10)
    assert engine._scheduler.jobs
    futures[2].cancel()
    await idle(engine)
    assert engine._scheduler.jobs == {}
    assert executor.num_turns < LONG


async def test_a_hung_run_hangs_none_of_its_callers(
    start_thread: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are told shortly after the deadline, though the engine says nothing."""
    monkeypatch.setattr("app.engine.engine._GRACE_S", 0.05)
    gate = threading.Event()
    engine = start_thread(SumExecutor(gate=gate))
    futures = [engine.submit_block(one_row(1), soon(0.05)) for _ in range(3)]
    futures[1].cancel()
    for place in (0, 2):
        with pytest.raises(DeadlineExceeded):
            await futures[place]
    gate.set()


@pytest.mark.parametrize("num_cancelled", [0, 1, 3])
async def test_an_engine_that_closes_in_between_says_so(start: StartEngine, num_cancelled: int) -> None:
    """After the hand-in and before the pass's end: nobody waits for ever, and nothing stays booked."""
    engine = start(Watched())
    futures = [engine.submit_block(one_row(1, 2), soon(60)) for _ in range(3)]
    for future in futures[:num_cancelled]:
        future.cancel()
    engine.close()
    for future in futures[num_cancelled:]:
        with pytest.raises(Draining):
            await asyncio.wait_for(future, 10)
    await asyncio.sleep(0)
    assert engine.load() == EMPTY


async def test_an_engine_that_dies_in_between_says_so(start_thread: StartEngine) -> None:
    """The same, for a bug; what comes later is refused."""

    def bug(batch: Batch) -> None:
        raise ValueError("a bug")

    gate = threading.Event()
    engine = start_thread(Watched(fail_on=bug, gate=gate))
    full = [engine.submit_block(one_row(1, 2), soon(60)) for _ in range(MAX_SHARED)]
    left = [engine.submit_block(one_row(1, 2), soon(60)) for _ in range(2)]
    left[0].cancel()
    gate.set()
    end = soon()
    while engine.alive:  # the pass goes on for as long
        assert time.monotonic() < end
        time.sleep(0.001)
    for future in (*full, left[1]):
        with pytest.raises(EngineDead):
            await asyncio.wait_for(future, 10)
    with pytest.raises(EngineDead):
        engine.submit_block(one_row(1, 2), soon())
    assert engine.load() == EMPTY
