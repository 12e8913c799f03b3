"""The executor on a real graph: what it reads, samples and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import DeviceUnavailable, RunFailed
from app.core.plan import GroupPlan, Plan, SlotRef
from app.core.sequence import Feedback, FinishReason, Read, Sampling, SequenceRequest
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession


@pytest.fixture
def bundle(tiny_models: Path) -> Bundle:
    """A tiny language model."""
    return read_bundle(tiny_models / "tiny-text-lstm" / "1")


@pytest.fixture
def executor(bundle: Bundle) -> GraphExecutor:
    """Four slots."""
    return GraphExecutor(GraphSession(bundle.graph, bundle.manifest), bundle.start, 4)


def plan(length: int, *slots: tuple[int, Read, bool]) -> Plan:
    """One group."""
    refs = tuple(SlotRef(index, 0) for index, _, _ in slots)
    reads, samples = tuple(read for _, read, _ in slots), tuple(sample for _, _, sample in slots)
    return Plan((GroupPlan(refs, length, reads, samples),))


def tokens(*ids: int) -> np.ndarray:
    """Steps."""
    return np.array(ids, np.int64)


def test_each_slot_gets_what_it_asked_to_read(executor: GraphExecutor) -> None:
    """In one run: all steps, the last one, or none."""
    for slot in range(3):
        executor.admit(slot, SequenceRequest(tokens(1, 2, 3)))
    result = executor.execute(plan(3, (0, Read.ALL, False), (1, Read.LAST, False), (2, Read.NONE, False)))
    every, last, nothing = result.groups[0].results
    assert (every.values[0].shape[0], last.values[0].shape[0], nothing.values) == (3, 1, ())
    np.testing.assert_array_equal(every.values[0][-1:], last.values[0])


def test_a_drawn_token_is_the_next_step(executor: GraphExecutor) -> None:
    """Feeding back equals supplying the same token."""
    feedback = Feedback(5, Sampling(temperature=0))
    executor.admit(0, SequenceRequest(tokens(4, 5), feedback=feedback))
    drawn = executor.execute(plan(2, (0, Read.NONE, True))).groups[0].results[0].token
    assert drawn is not None
    executor.execute(plan(1, (0, Read.NONE, True)))
    executor.admit(1, SequenceRequest(tokens(4, 5, drawn.id)))
    executor.execute(plan(3, (1, Read.NONE, False)))
    np.testing.assert_array_equal(executor.row(0), executor.row(1))


def test_end_tokens_stop_rules_and_bans(executor: GraphExecutor) -> None:
    """An end token is not reported, a stop rule's is, and a banned token is never drawn."""
    greedy = Sampling(temperature=0)
    executor.admit(0, SequenceRequest(tokens(4), feedback=Feedback(5, greedy)))
    best = executor.execute(plan(1, (0, Read.NONE, True))).groups[0].results[0].token
    assert best is not None
    executor.admit(
        1, SequenceRequest(tokens(4), feedback=Feedback(5, greedy, end_tokens=frozenset([best.id])))
    )
    executor.admit(2, SequenceRequest(tokens(4), feedback=Feedback(5, greedy, stop=lambda token: True)))
    executor.admit(3, SequenceRequest(tokens(4), feedback=Feedback(5, greedy, banned=(best.id,))))
    group = plan(1, *((slot, Read.NONE, True) for slot in (1, 2, 3)))
    ended, stopped, other = executor.execute(group).groups[0].results
    assert (ended.token, ended.finish) == (None, FinishReason.END)
    assert (stopped.token, stopped.finish) == (best, FinishReason.STOP)
    assert other.token is not None
    assert other.token.id != best.id


def test_a_stop_rule_that_raises_fails_its_own_sequence(executor: GraphExecutor) -> None:
    """The neighbour in the same run gets its token."""

    def broken(token: int) -> bool:
        raise ValueError("broken")

    for slot, stop in ((0, broken), (1, None)):
        feedback = Feedback(5, Sampling(), stop=stop)
        executor.admit(slot, SequenceRequest(tokens(4), feedback=feedback))
    failed, fine = executor.execute(plan(1, (0, Read.NONE, True), (1, Read.NONE, True))).groups[0].results
    assert isinstance(failed.error, RunFailed)
    assert fine.error is None
    assert fine.token is not None


def test_a_row_that_is_not_finite_fails_alone(executor: GraphExecutor, bundle: Bundle) -> None:
    """A poisoned start row is reported, and the row beside it has its usual value."""
    bad = np.full_like(bundle.start, np.nan)
    executor.admit(0, SequenceRequest(tokens(1), start=bad))
    executor.admit(1, SequenceRequest(tokens(1)))
    poisoned, healthy = (
        executor.execute(plan(1, (0, Read.LAST, False), (1, Read.LAST, False))).groups[0].results
    )
    executor.admit(2, SequenceRequest(tokens(1)))
    alone = executor.execute(plan(1, (2, Read.LAST, False))).groups[0].results[0]
    assert isinstance(poisoned.error, RunFailed)
    np.testing.assert_array_equal(healthy.values[0], alone.values[0])


def test_a_run_that_onnx_runtime_refuses_leaves_the_rows(executor: GraphExecutor) -> None:
    """A token outside the vocabulary fails the group, and the rows stay what they were."""
    executor.admit(0, SequenceRequest(tokens(10_000)))
    before = executor.row(0)
    result = executor.execute(plan(1, (0, Read.LAST, False))).groups[0]
    assert isinstance(result.error, RunFailed)
    np.testing.assert_array_equal(executor.row(0), before)


def test_cuda_is_refused_clearly_where_it_is_not(bundle: Bundle) -> None:
    """Without onnxruntime-gpu the error says what to install."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert GraphSession(bundle.graph, bundle.manifest, "cuda").device == "cuda"
    else:
        with pytest.raises(DeviceUnavailable, match="onnxruntime-gpu"):
            GraphSession(bundle.graph, bundle.manifest, "cuda")
