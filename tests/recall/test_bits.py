"""Encoders and what attends to them, as engines run them: no bit depends on what else is in a run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.bundle.reader import Bundle
from app.core.plan import BlockBatch, BlockPart, DecodeBatch, PrefillBatch
from app.core.sequence import BlockRequest, Encoded, Feedback, Read, Sampling, SequenceRequest
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.engine.pair import EnginePair
from app.registry.loading import with_encoder
from app.runtime.bits import differing_inputs, differing_steps
from app.runtime.encoder import EncoderExecutor
from app.runtime.executor import GraphExecutor
from app.runtime.lanes import Lanes
from app.runtime.session import EncoderSession, GraphSession
from tests.recall.network import VOCABULARY

Source = list[int]
tokens = st.integers(0, VOCABULARY - 1)
some_sources = st.lists(st.lists(tokens, min_size=1, max_size=40), min_size=1, max_size=12)


def sessions_of(bundle: Bundle) -> tuple[GraphSession, EncoderSession]:
    """Both graphs."""
    assert bundle.encoder is not None
    return GraphSession(bundle.graph, bundle.manifest), EncoderSession(bundle.encoder, bundle.manifest)


def encoded_alone(encoder: EncoderSession, source: Source) -> Encoded:
    """What the graph makes of a source that nothing is beside."""
    rows, attended = encoder.run(np.array([source], np.int64), np.array([len(source)], np.int64))
    return Encoded(rows[0], attended[0][0])


def block_of(sources: Sequence[Source], padding: int = 0) -> BlockRequest:
    """Sources together, each padded to the longest, and more."""
    lengths = np.array([len(source) for source in sources], np.int64)
    steps = np.full((len(sources), int(lengths.max()) + padding), 7, np.int64)
    for row, source in enumerate(sources):
        steps[row, : len(source)] = source
    return BlockRequest(steps, Read.ALL, lengths=lengths)


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(some_sources, min_size=1, max_size=3), padding=st.integers(0, 9))
def test_an_input_is_encoded_as_it_is_alone(bundle: Bundle, groups: list[list[Source]], padding: int) -> None:
    """In parts of several blocks of one length; what stands behind an input does not count."""
    _, encoder = sessions_of(bundle)
    longest = max(len(source) for group in groups for source in group)
    parts = [BlockPart(block_of(group, longest + padding - max(map(len, group)))) for group in groups]
    rows = sum(len(group) for group in groups)
    EncoderExecutor(encoder).run(BlockBatch(tuple(parts), longest + padding, rows))
    for part, group in zip(parts, groups, strict=True):
        assert part.rows is not None
        assert not part.errors
        for row, source in enumerate(group):
            alone = encoded_alone(encoder, source)
            assert alone.attended is not None
            assert np.array_equal(part.rows[row], alone.row)
            assert np.array_equal(part.pieces[0][0][row, : len(source)], alone.attended)


@settings(max_examples=60, deadline=None)
@given(
    sources=some_sources,
    targets=st.data(),
    length=st.integers(1, 9),
    cut=st.integers(1, 9),
    lanes=st.sampled_from([1, 3]),
)
def test_a_block_attends_as_each_of_its_sequences_does_alone(
    bundle: Bundle, sources: list[Source], targets: st.DataObject, length: int, cut: int, lanes: int
) -> None:
    """Whatever the others attend to, and wherever the steps are cut; one that attends to nothing included."""
    session, encoder = sessions_of(bundle)
    steps = np.array(
        [targets.draw(st.lists(tokens, min_size=length, max_size=length)) for _ in sources], np.int64
    )
    encoded = [encoded_alone(encoder, source) for source in sources]
    attended = [one.attended if row != 1 else None for row, one in enumerate(encoded)]
    starts = np.stack([one.row for one in encoded])
    executor = GraphExecutor(session, bundle.start, 1, Lanes(lanes))
    together = BlockPart(BlockRequest(steps, Read.ALL, starts, attended=attended))
    for first in range(0, length, cut):
        executor.run(BlockBatch((together,), min(cut, length - first), len(sources)))
    assert together.rows is not None
    for row in range(len(sources)):
        alone = BlockPart(
            BlockRequest(steps[row : row + 1], Read.ALL, starts[row : row + 1], attended=[attended[row]])
        )
        executor.run(BlockBatch((alone,), length, 1))
        assert alone.rows is not None
        assert np.array_equal(together.rows[row], alone.rows[0])
        for index, whole in enumerate(alone.pieces[0]):
            found = np.concatenate([piece[index] for piece in together.pieces], axis=1)[row]
            assert np.array_equal(found[..., : whole.shape[-1]], whole[0])
            assert not found[..., whole.shape[-1] :].any(), "weights of padding are zero"


@settings(max_examples=40, deadline=None)
@given(sources=some_sources, count=st.integers(2, 6), leaving=st.integers(0, 5))
def test_streams_attend_alone_or_together(
    bundle: Bundle, sources: list[Source], count: int, leaving: int
) -> None:
    """In one decode group, and in the next one after somebody has left."""
    session, encoder = sessions_of(bundle)
    requests = [
        SequenceRequest(
            np.array([0], np.int64),
            feedback=Feedback(20, Sampling(0.9, seed=number)),
            start=one.row,
            attended=one.attended,
        )
        for number, source in enumerate(sources)
        for one in [encoded_alone(encoder, source)]
    ]

    def drawn(members: Sequence[int], leaves: int | None) -> dict[int, list[int]]:
        executor = GraphExecutor(session, bundle.start, len(sources))
        for slot in members:
            executor.admit(slot, requests[slot])
        reads, samples = (Read.NONE,) * len(members), (True,) * len(members)
        first = executor.run(PrefillBatch(tuple(members), 1, reads, samples))
        found = {slot: [int(np.asarray(token))] for slot, token in zip(members, first.tokens, strict=True)}
        left = list(members)
        for number in range(count):
            if number == 1 and leaves in left and len(left) > 1:
                left.remove(leaves)
                executor.release(leaves)
            if number in (0, 1):
                batch = DecodeBatch(tuple(left))
            for slot, token in zip(left, executor.run(batch).tokens, strict=True):
                found[slot].append(int(np.asarray(token)))
        return found

    together = drawn(range(len(sources)), leaving)
    for slot in range(len(sources)):
        alone = drawn([slot], None)[slot]
        assert alone[: len(together[slot])] == together[slot]


async def encoded_by(engine: EnginePair, blocks: Sequence[BlockRequest]) -> list[np.ndarray]:
    """What an engine makes of blocks that are submitted together."""
    deadline = asyncio.get_running_loop().time() + 20
    results = await asyncio.gather(*(engine.submit_encode(block, deadline) for block in blocks))
    return [result.outputs[0] for result in results]


async def test_an_engine_cuts_no_input(bundle: Bundle) -> None:
    """A block wider than a run is cut by rows; an input longer than a chunk is not cut."""
    session, encoder = sessions_of(bundle)
    random = np.random.default_rng(0)
    decoder = Engine(
        "recall", GraphExecutor(session, bundle.start, 4), SchedulerLimits(max_chunk=8), QueueLimits()
    )
    pair = with_encoder(decoder, encoder, QueueLimits(), lambda name: lambda stats: None)
    pair.start(asyncio.get_running_loop())
    try:
        sources = [
            [random.integers(0, VOCABULARY, length).tolist() for _ in range(num)]
            for length, num in ((100, 3), (128, 70), (5, 200), (1, 1))
        ]
        results = await encoded_by(pair, [block_of(group) for group in sources])
    finally:
        pair.close()
    for group, result in zip(sources, results, strict=True):
        for source, found in zip(group, result, strict=True):
            attended = encoded_alone(encoder, source).attended
            assert attended is not None
            assert np.array_equal(found, attended)


def test_the_bits_of_a_bundle_hold(bundle: Bundle) -> None:
    """What ``verify`` says of it."""
    session, encoder = sessions_of(bundle)
    sources = bundle.golden.sources
    assert sources is not None
    assert differing_inputs(encoder, sources) is None
    assert differing_steps(session, bundle.start, bundle.golden.steps, sources.encoded()) is None
