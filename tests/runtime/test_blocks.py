"""Blocks on a real graph: the bits of sequences handed in one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import NotFinite
from app.core.plan import BlockPlan, GroupPlan, Plan, SlotRef
from app.core.sequence import BlockRequest, Read, SequenceRequest
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession

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
    group = GroupPlan((SlotRef(0, 0),), STEPS.shape[1], (Read.ALL,), (False,))
    (result,) = executor.execute(Plan((group,))).groups
    outputs, last = result.values[0][0], executor.row(0)
    executor.release(0)
    return outputs, last


def feed(executor: GraphExecutor, length: int, *numbers: int, rows: int) -> None:
    """One run of blocks."""
    executor.execute(Plan((BlockPlan(numbers, length, rows),)))


def test_a_block_has_the_bits_of_its_sequences(executor: GraphExecutor) -> None:
    """In one run or in several, from the start row or from rows of its own."""
    starts = np.stack([alone(executor, row)[1] for row in range(ROWS)])
    fresh = np.array([False, True, False, False, True])
    for number, lengths in ((1, (6,)), (2, (4, 1, 1))):
        executor.open_block(number, BlockRequest(STEPS, Read.ALL, starts, fresh))
        for length in lengths:
            feed(executor, length, number, rows=ROWS)
        result = executor.take_block(number)
        for row in range(ROWS):
            outputs, last = alone(executor, row, None if fresh[row] else starts[row])
            np.testing.assert_array_equal(result.outputs[0][row], outputs)
            np.testing.assert_array_equal(result.rows[row], last)


def test_blocks_that_share_a_run_read_each_what_it_asked_for(executor: GraphExecutor) -> None:
    """All steps, the last one, or none, in runs that are the last of one block and not of another."""
    long = np.concatenate([STEPS, STEPS], axis=1)
    for number, steps, read in ((1, STEPS, Read.ALL), (2, long, Read.LAST), (3, STEPS, Read.NONE)):
        executor.open_block(number, BlockRequest(steps, read))
    feed(executor, 6, 1, 2, 3, rows=3 * ROWS)
    every, nothing = executor.take_block(1), executor.take_block(3)
    executor.open_block(4, BlockRequest(STEPS, Read.LAST, every.rows))
    feed(executor, 6, 2, 4, rows=2 * ROWS)
    late, again = executor.take_block(2), executor.take_block(4)
    assert every.outputs[0].shape[:2] == (ROWS, 6)
    assert nothing.outputs[0].shape[:2] == (ROWS, 0)
    assert late.outputs[0].shape[:2] == again.outputs[0].shape[:2] == (ROWS, 1)
    np.testing.assert_array_equal(late.outputs[0], again.outputs[0])
    np.testing.assert_array_equal(nothing.rows, every.rows)
    for row in range(ROWS):
        np.testing.assert_array_equal(every.outputs[0][row], alone(executor, row)[0])


def test_a_callers_rows_are_left_alone(executor: GraphExecutor, bundle: Bundle) -> None:
    """A block that takes several runs does not write into the arrays it was given."""
    starts = np.repeat(bundle.start[None], ROWS, axis=0)
    before, steps = starts.copy(), STEPS.copy()
    executor.open_block(1, BlockRequest(steps, Read.LAST, starts))
    for _ in range(6):
        feed(executor, 1, 1, rows=ROWS)
    executor.take_block(1)
    np.testing.assert_array_equal(starts, before)
    np.testing.assert_array_equal(steps, STEPS)


def test_rows_that_are_not_finite_fail_by_themselves(executor: GraphExecutor, bundle: Bundle) -> None:
    """Errors are told by the row of the block, whichever blocks share the run."""
    bad = np.repeat(bundle.start[None], ROWS, axis=0)
    bad[3] = np.nan
    executor.open_block(1, BlockRequest(STEPS, Read.LAST))
    executor.open_block(2, BlockRequest(STEPS, Read.LAST, bad))
    feed(executor, 6, 1, 2, rows=2 * ROWS)
    healthy, sick = executor.take_block(1), executor.take_block(2)
    assert healthy.errors == {}
    assert list(sick.errors) == [3]
    assert isinstance(sick.errors[3], NotFinite)
    keep = np.arange(ROWS) != 3
    np.testing.assert_array_equal(sick.outputs[0][keep], healthy.outputs[0][keep])


def test_a_token_outside_the_vocabulary_fails_the_block(executor: GraphExecutor) -> None:
    """Every row of the run has the error; the executor works on."""
    executor.open_block(1, BlockRequest(np.full((2, 1), 10_000), Read.ALL))
    feed(executor, 1, 1, rows=2)
    assert sorted(executor.take_block(1).errors) == [0, 1]
    executor.open_block(2, BlockRequest(STEPS, Read.ALL))
    feed(executor, 6, 2, rows=ROWS)
    assert executor.take_block(2).errors == {}
