"""Two engines that look like one."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from app.core.errors import Draining, EngineDead, RunFailed
from app.core.plan import Batch, BatchResult, BlockBatch
from app.core.sequence import BlockRequest, Read, SequenceRequest
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.engine.pair import EnginePair


class Held:
    """Runs blocks when it is let; dies of an order."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.go = threading.Event()
        self.go.set()
        self.dies = False

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Nothing."""

    def release(self, slot: int) -> None:
        """Nothing."""

    def run(self, batch: Batch) -> BatchResult:
        """Rows of zeros."""
        assert isinstance(batch, BlockBatch)
        assert self.go.wait(20)
        if self.dies:
            raise SystemExit("killed")
        self.runs.append((batch.rows, batch.length))
        for part in batch.parts:
            size = len(part.request.steps)
            part.cursor += batch.length
            part.rows = np.zeros((size, 1), np.float32)
            part.pieces.append([np.zeros((size, batch.length, 1), np.float32)])
        return BatchResult(seconds=1e-3)


class Bench:
    """A pair that runs until the end of the block."""

    def __init__(self, max_batch: int = 4) -> None:
        self.encoder, self.decoder = Held(), Held()
        whole = SchedulerLimits(num_slots=0, max_batch=max_batch, max_chunk=2, whole=True)
        queue = QueueLimits(max_steps=100, max_sequences=100)
        self.pair = EnginePair(
            Engine("encoder", self.encoder, whole, queue),
            Engine("decoder", self.decoder, SchedulerLimits(num_slots=2, max_chunk=2), queue),
        )

    async def __aenter__(self) -> Bench:
        self.pair.start(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.encoder.go.set()
        self.decoder.go.set()
        await asyncio.to_thread(self.pair.close)


def inputs(num: int, length: int) -> BlockRequest:
    """Whole inputs."""
    return BlockRequest(np.zeros((num, length), np.int64), Read.ALL, lengths=np.full(num, length, np.int64))


def until() -> float:
    """A deadline."""
    return asyncio.get_running_loop().time() + 20


async def test_inputs_are_cut_by_rows_alone() -> None:
    """However long they are; those of one length share runs."""
    async with Bench() as bench:
        bench.encoder.go.clear()
        blocks = [
            bench.pair.submit_encode(inputs(*size), until()) for size in ((1, 1), (6, 9), (2, 5), (1, 9))
        ]
        bench.encoder.go.set()
        results = await asyncio.gather(*blocks)
    assert [result.outputs[0].shape for result in results] == [(1, 1, 1), (6, 9, 1), (2, 5, 1), (1, 9, 1)]
    assert {length for _, length in bench.encoder.runs} == {1, 5, 9}
    assert all(rows <= 4 for rows, _ in bench.encoder.runs)


async def test_steps_do_not_wait_for_an_input() -> None:
    """The encoder is in the midst of a run all the while."""
    async with Bench() as bench:
        bench.encoder.go.clear()
        encoding = bench.pair.submit_encode(inputs(1, 50), until())
        await bench.pair.submit_block(BlockRequest(np.zeros((1, 3), np.int64)), until())
        assert not encoding.done()
        assert bench.pair.load().sequences == 1
        bench.encoder.go.set()
        await encoding


async def test_either_is_full_for_both() -> None:
    """A queue that refuses says so."""
    async with Bench() as bench:
        assert bench.pair.full_for_s is None
        bench.encoder.go.clear()
        held = bench.pair.submit_encode(inputs(1, 100), until())
        with pytest.raises(Exception, match="full"):
            bench.pair.submit_encode(inputs(1, 100), until())
        assert bench.pair.full_for_s is not None
        bench.encoder.go.set()
        await held


async def test_neither_lives_alone() -> None:
    """An encoder that dies takes its waiters with it, and the model is not healthy any more."""
    async with Bench() as bench:
        assert bench.pair.alive
        bench.encoder.dies = True
        with pytest.raises(EngineDead):
            await bench.pair.submit_encode(inputs(1, 2), until())
        while bench.pair.encoder.alive:
            await asyncio.sleep(0.01)
        assert not bench.pair.alive
        assert bench.pair.decoder.alive


async def test_both_are_drained() -> None:
    """What runs ends; neither takes anything new."""
    async with Bench() as bench:
        bench.encoder.go.clear()
        running = bench.pair.submit_encode(inputs(1, 2), until())
        draining = asyncio.create_task(bench.pair.drain(20))
        await asyncio.sleep(0.05)
        bench.encoder.go.set()
        await running
        assert await draining
        for submit in (bench.pair.submit_encode, bench.pair.submit_block):
            with pytest.raises(Draining):
                submit(inputs(1, 1), until())


async def test_an_engine_alone_encodes_nothing() -> None:
    """It says so."""
    engine = Engine("decoder", Held(), SchedulerLimits(), QueueLimits())
    with pytest.raises(RunFailed, match="no encoder"):
        engine.submit_encode(inputs(1, 1), until())
