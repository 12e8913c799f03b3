"""The candidates of a beam search: those of a whole sort, with the same bits in any batch."""

from __future__ import annotations

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.numbers import log_softmax
from app.runtime.session import likeliest
from tests.likeliest import PATH, graph


def test_the_graph_is_the_one_that_was_written() -> None:
    """The file beside the code is what ``python -m tests.likeliest`` makes."""
    assert onnx.load(PATH) == graph()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 12),
    size=st.sampled_from([1, 2, 7, 33, 500, 6000]),
    count=st.sampled_from([1, 2, 8, 40, 300]),
    levels=st.sampled_from([1000, 3, 2, 1]),
)
def test_the_likeliest_tokens_are_those_of_a_whole_sort(
    seed: int, rows: int, size: int, count: int, levels: int
) -> None:
    """Ties go to the lower id, whatever the number of rows and candidates, and a row has its own bits."""
    logits = np.random.default_rng(seed).integers(0, levels, (rows, size)).astype(np.float32) / np.float32(8)
    count = min(count, size)
    logprobs, ids = likeliest(logits, count)
    np.testing.assert_array_equal(ids, np.argsort(-logits, axis=1, kind="stable")[:, :count])
    np.testing.assert_allclose(logprobs, np.take_along_axis(log_softmax(logits), ids, axis=1), atol=1e-4)
    for row in range(rows):
        (alone,), (its,) = likeliest(logits[row : row + 1], min(size, count + 1))
        np.testing.assert_array_equal(alone[:count], logprobs[row])
        np.testing.assert_array_equal(its[:count], ids[row])
