"""The executor on a real graph: what it reads, samples and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import DeviceUnavailable, NotFinite, RunFailed
from app.core.plan import Batch, DecodeBatch, PrefillBatch
from app.core.sequence import Feedback, FinishReason, Read, Sampling, SequenceRequest
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession
from tests.runtime.rows import row_of


@pytest.fixture
def bundle(tiny_models: Path) -> Bundle:
    """A tiny language model."""
    return read_bundle(tiny_models / "tiny-text-lstm" / "1")


@pytest.fixture
def executor(bundle: Bundle) -> GraphExecutor:
    """Four slots."""
    return GraphExecutor(GraphSession(bundle.graph, bundle.manifest), bundle.start, 4)


def prefill(length: int, *slots: tuple[int, Read, bool]) -> PrefillBatch:
    """Supplied steps of slots."""
    reads, samples = tuple(read for _, read, _ in slots), tuple(sample for _, _, sample in slots)
    return PrefillBatch(tuple(slot for slot, _, _ in slots), length, reads, samples)


def decode(*slots: int) -> DecodeBatch:
    """One step of slots that feed back."""
    return DecodeBatch(slots)


def tokens(*ids: int) -> np.ndarray:
    """Steps."""
    return np.array(ids, np.int64)


def test_as_much_is_computed_as_the_most_demanding_slot_reads(executor: GraphExecutor) -> None:
    """All steps, the last one, or none; the last one is the same either way."""
    for slot in range(3):
        executor.admit(slot, SequenceRequest(tokens(1, 2, 3)))
    every = executor.run(prefill(3, (0, Read.ALL, False), (1, Read.LAST, False)))
    assert every.values[0].shape[:2] == (2, 3)
    nothing = executor.run(prefill(2, (2, Read.NONE, False)))
    assert nothing.values[0].shape[:2] == (1, 0)
    last = executor.run(prefill(1, (2, Read.LAST, False)))
    np.testing.assert_array_equal(every.values[0][:, -1], np.repeat(last.values[0][:, -1], 2, axis=0))


def test_a_drawn_token_is_the_next_step(executor: GraphExecutor) -> None:
    """Feeding back equals supplying the same tokens, for a batch that changes on the way too."""
    feedback = Feedback(5, Sampling(temperature=0))
    for slot in (0, 2):
        executor.admit(slot, SequenceRequest(tokens(4, 5), feedback=feedback))
    together = decode(0, 2)
    runs: list[Batch] = [
        prefill(2, (0, Read.NONE, True), (2, Read.NONE, True)),
        together,
        together,
        decode(0),
    ]
    drawn = [executor.run(run).tokens[0] for run in runs]
    executor.admit(1, SequenceRequest(tokens(4, 5, *(token for token in drawn if isinstance(token, int)))))
    executor.run(prefill(5, (1, Read.NONE, False)))
    executor.run(prefill(1, (1, Read.NONE, False)))
    executor.run(decode(0))
    np.testing.assert_array_equal(row_of(executor, 0), row_of(executor, 1))


def test_logits_that_are_handed_in_stand_for_the_run_that_gave_them(executor: GraphExecutor) -> None:
    """The first token and all that follow are those after the prompt itself, at the same positions."""
    sampling = Sampling(seed=9, first_position=4, alternatives=2)
    feedback = Feedback(5, sampling, banned=(0,))
    executor.admit(0, SequenceRequest(tokens(4, 5)))
    last = executor.run(prefill(2, (0, Read.LAST, False))).values[0][0, -1]
    executor.admit(1, SequenceRequest(tokens(4, 5), feedback=feedback))
    executor.admit(
        2, SequenceRequest(tokens(), feedback=feedback, start=row_of(executor, 0), first_logits=last)
    )
    whole: list[Batch] = [prefill(2, (1, Read.NONE, True)), *[decode(1)] * 3]
    continued: list[Batch] = [prefill(0, (2, Read.NONE, True)), *[decode(2)] * 3]
    assert [executor.run(batch).tokens for batch in whole] == [
        executor.run(batch).tokens for batch in continued
    ]
    np.testing.assert_array_equal(row_of(executor, 1), row_of(executor, 2))


def test_end_tokens_stop_rules_and_bans(executor: GraphExecutor) -> None:
    """An end token and a stop rule end a sequence, and a banned token is never drawn."""
    greedy = Sampling(temperature=0)
    executor.admit(0, SequenceRequest(tokens(4), feedback=Feedback(5, greedy)))
    best, *_ = executor.run(prefill(1, (0, Read.NONE, True))).tokens
    assert isinstance(best, int)
    executor.admit(1, SequenceRequest(tokens(4), feedback=Feedback(5, greedy, end_tokens=frozenset([best]))))
    executor.admit(2, SequenceRequest(tokens(4), feedback=Feedback(5, greedy, stop=lambda token: True)))
    executor.admit(3, SequenceRequest(tokens(4), feedback=Feedback(5, greedy, banned=(best,))))
    result = executor.run(prefill(1, *((slot, Read.NONE, True) for slot in (1, 2, 3))))
    assert result.ended == {0: FinishReason.END, 1: FinishReason.STOP}
    assert result.tokens[1] == best
    assert result.tokens[2] != best


def test_a_stop_rule_that_raises_fails_its_own_sequence(executor: GraphExecutor) -> None:
    """The neighbour in the same run gets its token, with the first one and with a later one."""

    def broken(token: int) -> bool:
        raise ValueError("broken")

    for slot, stop in ((0, broken), (1, None)):
        feedback = Feedback(5, Sampling(), stop=stop)
        executor.admit(slot, SequenceRequest(tokens(4), feedback=feedback))
    for run in (prefill(1, (0, Read.NONE, True), (1, Read.NONE, True)), decode(0, 1)):
        result = executor.run(run)
        assert list(result.errors) == [0]
        assert isinstance(result.errors[0], RunFailed)
        assert len(result.tokens) == 2


def test_a_row_that_is_not_finite_fails_alone(executor: GraphExecutor, bundle: Bundle) -> None:
    """A poisoned start row is reported, and the row beside it has its usual value and tokens."""
    bad = np.full_like(bundle.start, np.nan)
    feedback = Feedback(5, Sampling(seed=3))
    executor.admit(0, SequenceRequest(tokens(1), start=bad, feedback=feedback))
    executor.admit(1, SequenceRequest(tokens(1), feedback=feedback))
    executor.admit(2, SequenceRequest(tokens(1), feedback=feedback))
    for beside, alone in (
        (prefill(1, (0, Read.LAST, True), (1, Read.LAST, True)), prefill(1, (2, Read.LAST, True))),
        (decode(0, 1), decode(2)),
    ):
        poisoned, healthy = executor.run(beside), executor.run(alone)
        assert list(poisoned.errors) == [0]
        assert isinstance(poisoned.errors[0], NotFinite)
        assert poisoned.tokens[1] == healthy.tokens[0]
    np.testing.assert_array_equal(row_of(executor, 1), row_of(executor, 2))


def test_a_run_that_onnx_runtime_refuses_leaves_the_rows(executor: GraphExecutor) -> None:
    """A token outside the vocabulary fails the batch, and the rows stay what they were."""
    executor.admit(0, SequenceRequest(tokens(10_000)))
    before = row_of(executor, 0)
    result = executor.run(prefill(1, (0, Read.LAST, False)))
    assert isinstance(result.errors[0], RunFailed)
    np.testing.assert_array_equal(row_of(executor, 0), before)


def test_cuda_is_refused_clearly_where_it_is_not(bundle: Bundle) -> None:
    """Without onnxruntime-gpu the error says what to install."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert GraphSession(bundle.graph, bundle.manifest, "cuda").device == "cuda"
    else:
        with pytest.raises(DeviceUnavailable, match="onnxruntime-gpu"):
            GraphSession(bundle.graph, bundle.manifest, "cuda")
