"""What encoders made: made once for all who want it, bounded, and nobody's end is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.bundle.manifest import AttendedSpec, EncoderSpec, GraphInput
from app.core.errors import DeadlineExceeded, InvalidInput, Overloaded, RunFailed
from app.core.sequence import BlockRequest, BlockResult, Usage
from app.service.catalog import Deployment
from app.service.encoded_sources import EncodedSources, Lease

WIDTH, ROW = 3, 2
TOKENS = EncoderSpec(
    opset=18,
    input=GraphInput(name="tokens", dtype="int64", shape=()),
    max_length=128,
    attended=AttendedSpec(width=WIDTH),
)
EACH = 4 * WIDTH * 4 + 4 * ROW + 1024
"""Bytes of a source of four tokens."""


class Encoder:
    """Takes blocks, and answers when it is told to: with the sum of the tokens."""

    def __init__(self) -> None:
        self.blocks: list[BlockRequest] = []
        self.futures: list[asyncio.Future[BlockResult]] = []
        self.refuses: Exception | None = None

    def submit_encode(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        """Keep it."""
        if self.refuses is not None:
            raise self.refuses
        future: asyncio.Future[BlockResult] = asyncio.get_running_loop().create_future()
        self.blocks.append(request)
        self.futures.append(future)
        return future

    def answer(self, number: int = -1, errors: dict[int, RunFailed] | None = None) -> None:
        """End a block well, but for these rows."""
        steps = self.blocks[number].steps
        attended = np.repeat(steps[:, :, None], WIDTH, axis=2).astype(np.float32)
        rows = np.repeat(steps.sum(axis=1)[:, None], ROW, axis=1).astype(np.float32)
        self.futures[number].set_result(BlockResult((attended,), rows, errors or {}, Usage(supplied=1)))


class Bench:
    """An encoder, and what keeps what it makes."""

    def __init__(self, max_bytes: int = 10 * EACH, spec: EncoderSpec = TOKENS) -> None:
        self.encoder = Encoder()
        self.kept = EncodedSources(max_bytes)
        manifest = SimpleNamespace(encoder=spec, row=SimpleNamespace(size=ROW))
        served = SimpleNamespace(manifest=manifest, networks="abc", engine=self.encoder)
        self.deployment = cast(Deployment, served)

    def lease(self, *sources: Sequence[int]) -> asyncio.Task[Lease]:
        """Ask for sources."""
        arrays = [np.array(source, np.int64) for source in sources]
        return asyncio.create_task(self.kept.lease(self.deployment, arrays, 0.0))

    async def held(self, *sources: Sequence[int]) -> Lease:
        """Ask for them and answer."""
        asked, before = self.lease(*sources), len(self.encoder.blocks)
        await settled()
        for number in range(before, len(self.encoder.blocks)):
            self.encoder.answer(number)
        return await asked


async def settled() -> None:
    """Whatever can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


def source(number: int) -> list[int]:
    """One of four tokens."""
    return [number, 1, 2, 3]


async def test_each_has_its_own_length_without_padding() -> None:
    """Of nearly one length they go together; their order is that of the request."""
    bench = Bench()
    lease = await bench.held([5], [1, 2, 3, 4, 5], [7, 8, 9])
    assert [block.steps.shape for block in bench.encoder.blocks] == [(2, 4), (1, 8)]
    assert [one.attended.shape for one in lease.encoded if one.attended is not None] == [
        (1, WIDTH),
        (5, WIDTH),
        (3, WIDTH),
    ]
    assert [float(one.row[0]) for one in lease.encoded] == [5, 15, 24]
    assert lease.usage.supplied == 1


async def test_one_source_is_encoded_once_for_all() -> None:
    """For a request that has it twice, for one that comes meanwhile, and for one that comes later."""
    bench = Bench()
    first, second = bench.lease(source(1), source(1)), bench.lease(source(1))
    await settled()
    bench.encoder.answer()
    encoded = [*(await first).encoded, *(await second).encoded, *(await bench.held(source(1))).encoded]
    assert len(bench.encoder.blocks) == 1
    assert all(one is encoded[0] for one in encoded)


async def test_the_least_recently_used_goes_first() -> None:
    """Only what nobody uses goes."""
    bench = Bench(3 * EACH)
    used = await bench.held(source(1))
    for number in (2, 3):
        (await bench.held(source(number))).close()
    (await bench.held(source(2))).close()
    (await bench.held(source(4))).close()  # in the place of 3
    before = len(bench.encoder.blocks)
    for number in (1, 2, 4):
        (await bench.held(source(number))).close()
    assert len(bench.encoder.blocks) == before
    (await bench.held(source(3))).close()
    assert len(bench.encoder.blocks) == before + 1
    used.close()
    assert bench.kept.held_bytes == 3 * EACH


async def test_what_does_not_fit_is_refused() -> None:
    """For good where it could never fit, for now where others use the memory; nothing of it is left."""
    bench = Bench(3 * EACH)
    held = await bench.held(source(1), source(2))
    with pytest.raises(InvalidInput) as never:
        await bench.lease(*map(source, range(4)))
    assert never.value.allowed == {"max": 3 * EACH}
    with pytest.raises(Overloaded):
        await bench.lease(source(3), source(4))
    assert bench.kept.held_bytes == 2 * EACH
    held.close()
    held.close()
    assert len((await bench.held(source(3), source(4))).encoded) == 2


async def test_a_refusal_of_the_engine_leaves_nothing() -> None:
    """Whoever asks next begins anew."""
    bench = Bench()
    bench.encoder.refuses = Overloaded("full")
    with pytest.raises(Overloaded):
        await bench.lease(source(1))
    assert bench.kept.held_bytes == 0
    bench.encoder.refuses = None
    assert (await bench.held(source(1))).encoded


async def test_who_gives_up_ends_nothing_that_another_waits_for() -> None:
    """The work is given up with the last of them."""
    bench = Bench()
    first, second = bench.lease(source(1)), bench.lease(source(1))
    await settled()
    first.cancel()
    await settled()
    assert not bench.encoder.futures[0].cancelled()
    second.cancel()
    await settled()
    assert bench.encoder.futures[0].cancelled()
    assert bench.kept.held_bytes == 0
    assert (await bench.held(source(1))).encoded


async def test_the_deadline_of_one_is_not_that_of_another() -> None:
    """What was begun for the first is begun again for the second; a run that failed fails for both."""
    bench = Bench()
    first, second = bench.lease(source(1)), bench.lease(source(1))
    await settled()
    bench.encoder.futures[0].set_exception(DeadlineExceeded("late"))
    with pytest.raises(DeadlineExceeded):
        await first
    await settled()
    bench.encoder.answer()
    assert (await second).encoded
    first, second = bench.lease(source(2)), bench.lease(source(2))
    await settled()
    bench.encoder.futures[-1].set_exception(RunFailed("broken"))
    for asked in (first, second):
        with pytest.raises(RunFailed):
            await asked


async def test_a_row_that_fails_fails_alone() -> None:
    """Others of its block are there."""
    bench = Bench()
    good, bad = bench.lease(source(1)), bench.lease(source(2), source(3))
    await settled()
    bench.encoder.answer(0)
    bench.encoder.answer(1, {1: RunFailed("broken")})
    assert (await good).encoded
    with pytest.raises(RunFailed):
        await bad
    assert bench.kept.held_bytes == 2 * EACH


async def test_inputs_of_one_shape_are_not_padded() -> None:
    """They go as one step."""
    spec: dict[str, Any] = {"opset": 18, "attended": AttendedSpec(width=WIDTH, length=1)}
    bench = Bench(spec=EncoderSpec(input=GraphInput(name="x", dtype="float32", shape=(2,)), **spec))
    picture = np.array([1.0, 2.0], np.float32)
    asked = asyncio.create_task(bench.kept.lease(bench.deployment, [picture, 2 * picture], 0.0))
    await settled()
    (block,) = bench.encoder.blocks
    assert block.steps.shape == (2, 1, 2)
    assert block.lengths is None
    bench.encoder.futures[0].set_result(
        BlockResult((np.ones((2, 1, WIDTH), np.float32),), np.ones((2, ROW), np.float32), {}, Usage())
    )
    assert len((await asked).encoded) == 2
