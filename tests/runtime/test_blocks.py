"""Blocks on a real graph: the bits of sequences handed in one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import NotFinite
from app.core.plan import BlockBatch, BlockPart, PrefillBatch
from app.core.sequence import BlockRequest, Read, SequenceRequest
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession
from tests.runtime.rows import row_of

ROWS = 5
STEPS = np.random.default_rng(4).integers(1, 5, (ROWS, 6))


@pytest.fixture
def bundle(tiny_models: Path) -> Bundle:
    """A tiny language model."""
    return read_bundle(tiny_models / "tiny-text-lstm" / "1")


@pytest.fixture
def executor(bundle: Bundle) -> GraphExecutor:
    """One slot."""
    return GraphExecutor(GraphSession(bundle.graph, bundle.manifest), bundle.start, 1)


def alone(
    executor: GraphExecutor, row: int, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and last row of one sequence of the steps, by way of a slot."""
    executor.admit(0, SequenceRequest(STEPS[row], start=start))
    result = executor.run(PrefillBatch((0,), STEPS.shape[1], (Read.ALL,), (False,)))
    outputs, last = result.values[0][0], row_of(executor, 0)
    executor.release(0)
    return outputs, last


def feed(executor: GraphExecutor, length: int, *parts: BlockPart) -> None:
    """One run of parts of blocks."""
    rows = sum(len(part.request.steps) for part in parts)
    executor.run(BlockBatch(parts, length, rows))


def outputs_of(part: BlockPart) -> np.ndarray:
    """All that was read."""
    return np.concatenate([piece[0] for piece in part.pieces], axis=1)


def rows_of(part: BlockPart) -> np.ndarray:
    """Rows after the last run."""
    assert part.rows is not None
    return part.rows


def test_a_block_has_the_bits_of_its_sequences(executor: GraphExecutor) -> None:
    """In one run or in several, from the start row or from rows of its own."""
    starts = np.stack([alone(executor, row)[1] for row in range(ROWS)])
    fresh = np.array([False, True, False, False, True])
    for lengths in ((6,), (4, 1, 1)):
        part = BlockPart(BlockRequest(STEPS, Read.ALL, starts, fresh))
        for length in lengths:
            feed(executor, length, part)
        for row in range(ROWS):
            outputs, last = alone(executor, row, None if fresh[row] else starts[row])
            np.testing.assert_array_equal(outputs_of(part)[row], outputs)
            np.testing.assert_array_equal(rows_of(part)[row], last)


def test_blocks_that_share_a_run_read_each_what_it_asked_for(executor: GraphExecutor) -> None:
    """All steps, the last one, or none, in runs that are the last of one block and not of another."""
    long = np.concatenate([STEPS, STEPS], axis=1)
    every, late, nothing = (
        BlockPart(BlockRequest(steps, read))
        for steps, read in ((STEPS, Read.ALL), (long, Read.LAST), (STEPS, Read.NONE))
    )
    feed(executor, 6, every, late, nothing)
    again = BlockPart(BlockRequest(STEPS, Read.LAST, every.rows))
    feed(executor, 6, late, again)
    assert outputs_of(every).shape[:2] == (ROWS, 6)
    assert outputs_of(nothing).shape[:2] == (ROWS, 0)
    assert outputs_of(late).shape[:2] == outputs_of(again).shape[:2] == (ROWS, 1)
    np.testing.assert_array_equal(outputs_of(late), outputs_of(again))
    np.testing.assert_array_equal(rows_of(nothing), rows_of(every))
    for row in range(ROWS):
        np.testing.assert_array_equal(outputs_of(every)[row], alone(executor, row)[0])


def test_a_callers_rows_are_left_alone(executor: GraphExecutor, bundle: Bundle) -> None:
    """A block that takes several runs does not write into the arrays it was given."""
    starts = np.repeat(bundle.start[None], ROWS, axis=0)
    before, steps = starts.copy(), STEPS.copy()
    part = BlockPart(BlockRequest(steps, Read.LAST, starts))
    for _ in range(6):
        feed(executor, 1, part)
    np.testing.assert_array_equal(starts, before)
    np.testing.assert_array_equal(steps, STEPS)


def test_rows_that_are_not_finite_fail_by_themselves(executor: GraphExecutor, bundle: Bundle) -> None:
    """Errors are told by the row of the block, whichever blocks share the run."""
    bad = np.repeat(bundle.start[None], ROWS, axis=0)
    bad[3] = np.nan
    healthy = BlockPart(BlockRequest(STEPS, Read.LAST))
    sick = BlockPart(BlockRequest(STEPS, Read.LAST, bad))
    feed(executor, 6, healthy, sick)
    assert healthy.errors == {}
    assert list(sick.errors) == [3]
    assert isinstance(sick.errors[3], NotFinite)
    keep = np.arange(ROWS) != 3
    np.testing.assert_array_equal(outputs_of(sick)[keep], outputs_of(healthy)[keep])


def test_a_token_outside_the_vocabulary_fails_the_block(executor: GraphExecutor) -> None:
    """Every row of the run has the error; the executor works on."""
    bad = BlockPart(BlockRequest(np.full((2, 1), 10_000), Read.ALL))
    feed(executor, 1, bad)
    assert sorted(bad.errors) == [0, 1]
    good = BlockPart(BlockRequest(STEPS, Read.ALL))
    feed(executor, 6, good)
    assert good.errors == {}
