"""Bit-equality on CPU, for every shipped bundle and a tiny one of each task and cell.

streamed = whole        however a sequence is cut into chunks
batched = alone         whoever else is in the batch, joining and leaving
on the loop = on a thread
resumed = uninterrupted from a row that was taken out and handed in again
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bundle.reader import Bundle, find_bundles, read_bundle
from app.core.sequence import (
    BlockRequest,
    BlockResult,
    Event,
    Failed,
    Feedback,
    Finished,
    Outputs,
    Read,
    Sampling,
    SequenceRequest,
    Tokens,
)
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.features.text import TextCodec
from app.runtime.attended import gathered
from app.runtime.executor import GraphExecutor
from app.runtime.lanes import Lanes
from app.runtime.session import GraphSession
from app.runtime.verify import verify_bundle
from tests.bundles import CELLS
from tests.conftest import SHIPPED
from tests.runtime.rows import RowKeeper

TINY = [f"{kind}-{cell}" for kind in ("tiny-text", "tiny-mood", "tiny-series") for cell in CELLS]
BUNDLES = [*TINY, *(f"{path.parent.name}/{path.name}" for path in find_bundles(SHIPPED))]

each_bundle = pytest.mark.parametrize("name", BUNDLES)
each_engine = pytest.mark.parametrize("on_loop", [False, True], ids=["thread", "loop"])


@dataclass(frozen=True)
class Subject:
    """A loaded bundle under test."""

    bundle: Bundle
    session: GraphSession

    def steps(self, key: int, batch: int, time: int) -> np.ndarray:
        """Random steps of the right kind: tokens, or series with gaps, seasons and a calendar."""
        random = np.random.default_rng(key)
        if self.bundle.tokenizer is not None:
            return random.integers(0, TextCodec(self.bundle.tokenizer).size, (batch, time), dtype=np.int64)
        if (graph := self.bundle.manifest.graph).input.dtype == "int64":
            return random.integers(0, graph.outputs[0].shape[0], (batch, time), dtype=np.int64)
        x = np.zeros((batch, time, *self.bundle.manifest.graph.input.shape), np.float32)
        x[..., 0] = random.normal(0, 1, (batch, time)).cumsum(1) * 10.0 ** random.integers(-3, 6, (batch, 1))
        x[..., 1] = random.random((batch, time)) > 0.1
        x[..., 0] *= x[..., 1]
        x[..., 2] = random.integers(0, 2, (batch, 1))
        x[..., 3:5] = random.integers(1, 169, (batch, 1, 2))
        x[..., 5:] = random.normal(0, 0.5, (batch, time, x.shape[2] - 5)) * random.integers(
            0, 2, (batch, 1, 1)
        )
        return x

    def run(self, steps: np.ndarray, rows: np.ndarray, head_from: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Of a graph that attends, each row attends to what was recorded of one source."""
        spec, sources = self.bundle.manifest.attended, self.bundle.golden.sources
        if spec is None or sources is None:
            return self.session.run(steps, rows, head_from)
        attended = gathered([sources.encoded()[0].attended] * len(steps), spec)
        return self.session.run(steps, rows, head_from, attended)

    def start(self, batch: int) -> np.ndarray:
        """Start rows."""
        return np.repeat(self.bundle.start[None], batch, axis=0)


@cache
def load(path: Path) -> Subject:
    """Each bundle is loaded once."""
    bundle = read_bundle(path)
    return Subject(bundle, GraphSession(bundle.graph, bundle.manifest))


def subject_of(name: str, tiny_models: Path) -> Subject:
    """The bundle of that name among the tiny and the shipped ones."""
    return load(SHIPPED / name if "/" in name else tiny_models / name / "1")


def cuts(total: int) -> st.SearchStrategy[list[int]]:
    """Where to cut ``total`` steps."""
    return st.lists(st.integers(1, total - 1), max_size=8, unique=True).map(sorted)


@each_bundle
def test_golden_vectors_are_reproduced(name: str, tiny_models: Path) -> None:
    """ONNX Runtime gives what PyTorch gave at export, within the recorded bound."""
    subject = subject_of(name, tiny_models)
    parity = subject.bundle.manifest.parity
    assert verify_bundle(subject.bundle, subject.session) <= parity.bound
    assert max(parity.one_shot, parity.step_by_step, parity.batched) <= parity.bound


@each_bundle
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_streamed_equals_whole(name: str, tiny_models: Path, data: st.DataObject) -> None:
    """Cut anywhere, outputs and the last row are the same bits as in one run."""
    subject = subject_of(name, tiny_models)
    batch, total = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([2, 9, 40, 200]))
    steps, rows = subject.steps(data.draw(st.integers(0, 2**31)), batch, total), subject.start(batch)
    whole, last = subject.run(steps, rows, 0)
    pieces, before = [], 0
    for cut in [*data.draw(cuts(total)), total]:
        outputs, rows = subject.run(np.ascontiguousarray(steps[:, before:cut]), rows, 0)
        pieces.append(outputs)
        before = cut
    for index, output in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([piece[index] for piece in pieces], axis=1), output)
    np.testing.assert_array_equal(rows, last)


@each_bundle
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_batched_equals_alone(name: str, tiny_models: Path, data: st.DataObject) -> None:
    """A row's outputs are the same bits in any batch, at any place in it, and read late or in full."""
    subject = subject_of(name, tiny_models)
    batch, total = data.draw(st.sampled_from([2, 3, 7, 33])), data.draw(st.integers(1, 24))
    steps = subject.steps(data.draw(st.integers(0, 2**31)), batch, total)
    order = data.draw(st.permutations(range(batch)))
    together, rows = subject.run(np.ascontiguousarray(steps[order]), subject.start(batch), 0)
    head_from = data.draw(st.integers(0, total))
    for place in sorted({0, 1, batch - 1}):
        one = order[place]
        alone, row = subject.run(steps[one : one + 1], subject.start(1), head_from)
        for output, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(output[place, head_from:], single[0])
        np.testing.assert_array_equal(rows[place], row[0])


@each_bundle
def test_the_engine_gives_the_same_bits_under_load(
    name: str, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty sequences of all lengths joining and leaving, some cancelled: each equals itself alone."""
    subject = subject_of(name, tiny_models)
    random = np.random.default_rng(5)
    feeds_back = subject.bundle.manifest.task in ("generate", "compose")
    requests = []
    for index in range(40):
        feedback = Feedback(
            int(random.integers(1, 30)),
            Sampling(
                temperature=float(random.choice([0.0, 0.8, 1.0])),
                top_k=int(random.integers(0, 6)),
                seed=index,
            ),
        )
        read = Read.ALL if index % 3 == 0 else Read.LAST
        steps = subject.steps(index, 1, int(random.choice([1, 2, 5, 30, 100, 300])))[0]
        requests.append(SequenceRequest(steps, read, feedback if feeds_back else None))
    alone = asyncio.run(run_all(subject, requests, together=False))
    assert asyncio.run(run_all(subject, requests, together=True)) == alone
    for together in (False, True):
        assert asyncio.run(run_all(subject, requests, together=together, on_loop=True)) == alone
    # Cut over lanes as well: every run at first, then as what is measured says.
    monkeypatch.setattr("app.runtime.runner._WORTH_CUTTING_S", 0.0)
    monkeypatch.setattr("app.runtime.runner._TRY_EVERY", 2)
    assert asyncio.run(run_all(subject, requests, together=True, lanes=Lanes(3))) == alone


@each_engine
@each_bundle
def test_blocks_give_the_bits_of_their_sequences(name: str, on_loop: bool, tiny_models: Path) -> None:
    """Blocks of several widths and lengths together, each row equal to itself alone, twice in a row."""
    subject = subject_of(name, tiny_models)
    shapes = [(1, 1), (3, 1), (40, 1), (5, 30), (2, 170), (1, 33)]
    blocks = [subject.steps(index, *shape) for index, shape in enumerate(shapes)]
    answers = asyncio.run(run_blocks(subject, blocks, on_loop=on_loop))
    for steps, (first, second) in zip(blocks, answers, strict=True):
        for row in sorted({0, len(steps) // 2, len(steps) - 1}):
            twice = np.concatenate([steps[row], steps[row]])
            request = SequenceRequest(twice, Read.ALL)
            (alone,) = asyncio.run(run_all(subject, [request], together=False))
            outputs = np.concatenate([first.outputs[0][row], second.outputs[0][row]])
            assert outputs.tobytes() == alone.outputs
            assert second.rows[row].tobytes() == alone.row


@each_engine
@each_bundle
def test_sequences_that_come_together_have_the_bits_of_each_alone(
    name: str, on_loop: bool, tiny_models: Path
) -> None:
    """Requests of one length, joined on their way into the engine, beside some of another."""
    subject = subject_of(name, tiny_models)
    sequences = [subject.steps(index, 1, 31 if index % 5 else 8) for index in range(30)]
    answers = asyncio.run(run_blocks(subject, sequences, on_loop=on_loop))
    # The second run of each goes on from its row.
    whole = [SequenceRequest(np.concatenate([one[0]] * 2), Read.ALL) for one in sequences]
    alone = asyncio.run(run_all(subject, whole, together=False))
    assert max(first.usage.largest_batch for first, _ in answers) > 1
    for (first, second), expected in zip(answers, alone, strict=True):
        assert first.outputs[0].tobytes() + second.outputs[0].tobytes() == expected.outputs
        assert second.rows.tobytes() == expected.row
        assert first.usage.supplied == first.outputs[0].shape[1]


@each_bundle
def test_resumed_equals_uninterrupted(name: str, tiny_models: Path) -> None:
    """A row taken out after some steps and handed in again goes on to the same bits."""
    subject = subject_of(name, tiny_models)
    steps = subject.steps(11, 1, 60)[0]
    whole = asyncio.run(run_all(subject, [SequenceRequest(steps, Read.ALL)], together=False))
    first = asyncio.run(run_all(subject, [SequenceRequest(steps[:23], Read.ALL)], together=False))
    row = np.frombuffer(first[0].row, np.float32)
    rest = SequenceRequest(steps[23:], Read.ALL, start=row)
    second = asyncio.run(run_all(subject, [rest], together=False))
    assert first[0].outputs + second[0].outputs == whole[0].outputs
    assert second[0].row == whole[0].row


@dataclass(frozen=True)
class Answer:
    """All bits of one sequence's answer."""

    outputs: bytes
    tokens: tuple[int, ...]
    row: bytes


def answer_of(events: list[Event], row: np.ndarray) -> Answer:
    """Events of one sequence and its last row as one value."""
    last = events[-1]
    assert isinstance(last, Finished), last
    reads = [event.values[0] for event in events if isinstance(event, Outputs)]
    tokens = tuple(token.id for event in events if isinstance(event, Tokens) for token in event.tokens)
    return Answer(b"".join(read.tobytes() for read in reads), tokens, row.tobytes())


async def run_blocks(
    subject: Subject, blocks: list[np.ndarray], *, on_loop: bool
) -> list[tuple[BlockResult, BlockResult]]:
    """Run blocks through one engine, all at once, and then again from the rows that came back."""
    limits = SchedulerLimits(num_slots=1, max_batch=16, max_chunk=64)
    executor = GraphExecutor(subject.session, subject.bundle.start, limits.num_slots)
    engine = Engine("test", executor, limits, QueueLimits(), on_loop=on_loop)
    engine.start(asyncio.get_running_loop())

    async def twice(steps: np.ndarray) -> tuple[BlockResult, BlockResult]:
        first = await engine.submit_block(BlockRequest(steps), time.monotonic() + 60)
        again = BlockRequest(steps, starts=first.rows)
        return first, await engine.submit_block(again, time.monotonic() + 60)

    try:
        return list(await asyncio.gather(*(twice(steps) for steps in blocks)))
    finally:
        engine.close()


async def run_all(
    subject: Subject,
    requests: list[SequenceRequest],
    *,
    together: bool,
    lanes: Lanes | None = None,
    on_loop: bool = False,
) -> list[Answer]:
    """Run sequences through a real engine, one after the other or all at once among cancelled ones."""
    limits = SchedulerLimits(num_slots=24, max_batch=16, max_chunk=64, mixed_chunk=4)
    executor = RowKeeper(subject.session, subject.bundle.start, limits.num_slots, lanes)
    engine = Engine("test", executor, limits, QueueLimits(), on_loop=on_loop)
    engine.start(asyncio.get_running_loop())

    async def answer(request: SequenceRequest) -> Answer:
        ticket = engine.submit([request], time.monotonic() + 60)
        events: list[Event] = []
        while not events or not isinstance(events[-1], Finished | Failed):
            events += [event for _, event in await ticket.events()]
        return answer_of(events, executor.row(request))

    async def leave(request: SequenceRequest) -> None:
        ticket = engine.submit([replace(request)], time.monotonic() + 60)
        await asyncio.sleep(0.002)
        ticket.cancel()

    try:
        if not together:
            return [await answer(request) for request in requests]
        crowd = [leave(request) for request in requests]
        answers = await asyncio.gather(*(answer(request) for request in requests), *crowd)
        assert engine.load().sequences == 0 or await engine.drain(10)
        return [answer for answer in answers if answer is not None]
    finally:
        engine.close()
