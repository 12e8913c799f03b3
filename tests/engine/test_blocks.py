"""Blocks in the engine: answers, cuts, failures, and what happens to a block that is given up."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from app.core.errors import DeadlineExceeded, Draining, EngineDead, Overloaded, RunFailed
from app.core.plan import Batch, BlockBatch
from app.core.sequence import BlockRequest, Feedback, Read, Sampling, SequenceRequest
from app.engine.load import QueueLimits, SchedulerLimits
from tests.engine.driving import StartEngine, drain, numbers, soon
from tests.fakes import SumExecutor


def table(rows: int, length: int) -> np.ndarray:
    """Steps ``[rows, length]``; row ``i`` holds ``i + 1`` everywhere."""
    return np.repeat(np.arange(1, rows + 1, dtype=np.float32)[:, None], length, axis=1)


async def test_a_block_answers_with_arrays(start: StartEngine) -> None:
    """Outputs and rows in the order of the sequences, from their own rows or the start row."""
    engine = start(SumExecutor())
    starts = np.array([[10], [20], [30]], np.float32)
    fresh = np.array([False, True, False])
    result = await engine.submit_block(BlockRequest(table(3, 2), Read.ALL, starts, fresh), soon())
    assert result.outputs[0].tolist() == [[11, 12], [2, 4], [33, 36]]
    assert result.rows.tolist() == [[12], [4], [36]]
    assert result.errors == {}
    assert (result.usage.supplied, result.usage.largest_batch) == (6, 3)
    last = await engine.submit_block(BlockRequest(table(3, 2), Read.LAST), soon())
    assert last.outputs[0].tolist() == [[2], [4], [6]]
    assert engine.load().steps == engine.load().sequences == 0


async def test_a_block_wider_than_a_run_is_answered_as_one(start: StartEngine) -> None:
    """It is cut by rows, no run is too wide, and nobody sees the cuts."""
    executor = SumExecutor()
    engine = start(executor, limits=SchedulerLimits(num_slots=1, max_batch=4))
    result = await engine.submit_block(BlockRequest(table(11, 3), Read.LAST), soon())
    assert result.outputs[0][:, 0].tolist() == [3.0 * (row + 1) for row in range(11)]
    assert result.rows[:, 0].tolist() == [3.0 * (row + 1) for row in range(11)]
    assert result.usage.supplied == 33
    assert max(batch.rows for batch in executor.batches) <= 4


async def test_blocks_that_wait_together_share_a_run(start_thread: StartEngine) -> None:
    """What arrives while a run is under way is the next batch."""
    gate = threading.Event()
    executor = SumExecutor(gate=gate)
    engine = start_thread(executor)
    first = engine.submit_block(BlockRequest(table(1, 1)), soon())
    while not executor.batches:
        await asyncio.sleep(0.001)
    others = [engine.submit_block(BlockRequest(table(2, 1)), soon()) for _ in range(3)]
    gate.set()
    await asyncio.gather(first, *others)
    assert [batch.rows for batch in executor.batches] == [1, 6]


async def test_a_run_that_fails_fails_the_rows_of_its_blocks(
    start: StartEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a block cut in two, the rows of the part that failed have an error, the others their answers."""
    failed: list[Batch] = []

    def first_only(batch: Batch) -> None:
        if isinstance(batch, BlockBatch) and not failed:
            failed.append(batch)
            raise RunFailed("poison")

    limits = SchedulerLimits(num_slots=1, max_batch=2)
    engine = start(SumExecutor(fail_on=first_only), limits=limits)
    result = await engine.submit_block(BlockRequest(table(4, 1)), soon())
    assert sorted(result.errors) == [0, 1]
    assert result.outputs[0][2:, 0].tolist() == [3, 4]
    assert engine.alive
    assert caplog.messages == ["engine sum: a run failed: poison"]


async def test_a_block_that_is_given_up_leaves_the_queue(start: StartEngine) -> None:
    """Cancelled while it runs: its steps are free at once, and a later block is answered."""
    executor = SumExecutor()
    engine = start(executor, limits=SchedulerLimits(num_slots=1, max_batch=2, max_chunk=1))
    gone = engine.submit_block(BlockRequest(table(5, 100_000)), soon(60))
    while not executor.batches:
        await asyncio.sleep(0.001)
    gone.cancel()
    while engine.load().sequences:
        await asyncio.sleep(0.001)
    assert engine.load().steps == 0
    assert engine._scheduler.jobs == {}
    assert (await engine.submit_block(BlockRequest(table(1, 1)), soon())).rows.tolist() == [[1]]


async def test_a_block_that_is_late_fails_as_a_whole(start: StartEngine) -> None:
    """At its deadline, with everything it held given back."""
    engine = start(SumExecutor(), limits=SchedulerLimits(num_slots=1, max_batch=2, max_chunk=1))
    with pytest.raises(DeadlineExceeded):
        await engine.submit_block(BlockRequest(table(5, 100_000)), soon(0.05))
    while engine.load().sequences:
        await asyncio.sleep(0.001)
    assert (engine.load().steps, engine._scheduler.jobs) == (0, {})


async def test_a_hung_run_does_not_hang_the_caller(
    start_thread: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The future fails shortly after the deadline, though the engine says nothing."""
    monkeypatch.setattr("app.engine.engine._GRACE_S", 0.05)
    gate = threading.Event()
    engine = start_thread(SumExecutor(gate=gate))
    with pytest.raises(DeadlineExceeded):
        await engine.submit_block(BlockRequest(table(1, 1)), soon(0.05))
    gate.set()


async def test_a_block_that_does_not_fit_is_refused(start: StartEngine) -> None:
    """By its steps or by its rows; the queue stays as it was."""
    gate = threading.Event()
    engine = start(SumExecutor(gate=gate), QueueLimits(max_steps=10, max_sequences=3))
    held = engine.submit_block(BlockRequest(table(2, 2)), soon())
    for rows, length in ((1, 7), (2, 1)):
        with pytest.raises(Overloaded):
            engine.submit_block(BlockRequest(table(rows, length)), soon())
    assert (engine.load().steps, engine.load().sequences) == (4, 2)
    gate.set()
    await held


async def test_blocks_end_with_the_engine(start: StartEngine) -> None:
    """Closing and dying fail every block, queued or running, and refuse the next."""
    engine = start(SumExecutor(), limits=SchedulerLimits(num_slots=1, max_chunk=1))
    left = engine.submit_block(BlockRequest(table(2, 500_000)), soon(60))
    await asyncio.sleep(0.01)
    engine.close()
    with pytest.raises(Draining):
        await left

    def bug(batch: Batch) -> None:
        raise ValueError("a bug")

    sick = start(SumExecutor(fail_on=bug))
    with pytest.raises(EngineDead):
        await sick.submit_block(BlockRequest(table(2, 2)), soon())
    while sick.alive:
        await asyncio.sleep(0.001)
    with pytest.raises(EngineDead):
        sick.submit_block(BlockRequest(table(1, 1)), soon())


async def test_blocks_and_streams_share_an_engine(start: StartEngine) -> None:
    """Beside a stream that holds the only slot, blocks are answered; the stream's tokens are its own."""
    engine = start(SumExecutor(), limits=SchedulerLimits(num_slots=1))
    stream = engine.submit([SequenceRequest(numbers(1), feedback=Feedback(2_000, Sampling()))], soon())
    await stream.events()
    until = time.monotonic() + 10
    answered = 0
    while answered < 20 and time.monotonic() < until:
        result = await engine.submit_block(BlockRequest(table(3, 1)), soon())
        assert result.rows[:, 0].tolist() == [1, 2, 3]
        answered += 1
    assert answered == 20
    await drain(stream)
