"""Batches of labelled sequences: all of them once, padded little, within the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.sentiment.batches import labelled_batches, num_labelled_batches, shorten

sequences = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=30), min_size=1, max_size=40)


@given(sequences, st.integers(1, 8), st.integers(1, 60), st.booleans())
def test_every_sequence_is_in_one_batch_with_its_label(
    texts: list[list[int]], max_batch: int, budget: int, shuffled: bool
) -> None:
    """Whatever the limits; a sequence longer than the budget is alone in its batch."""
    labels = list(range(len(texts)))
    random = np.random.default_rng(1) if shuffled else None
    seen: dict[int, list[int]] = {}
    batches = list(labelled_batches(texts, labels, max_batch=max_batch, batch_tokens=budget, random=random))
    for batch in batches:
        size, width = batch.tokens.shape
        assert size <= max_batch
        assert size == 1 or size * width <= budget
        for row, label in enumerate(batch.labels.tolist()):
            length = int(batch.lengths[row])
            seen[label] = batch.tokens[row, :length].tolist()
            assert not batch.tokens[row, length:].any()
    assert [seen[label] for label in labels] == texts
    if not shuffled:
        assert num_labelled_batches(texts, max_batch, budget) == len(batches)


def test_neighbours_in_a_batch_have_about_the_same_length() -> None:
    """Little of a shuffled batch is padding."""
    texts = [[1] * length for length in range(1, 401)]
    padded = filled = 0
    for batch in labelled_batches(
        texts, [0] * 400, max_batch=16, batch_tokens=8000, random=np.random.default_rng(0)
    ):
        padded += batch.tokens.numel()
        filled += int(batch.lengths.sum())
    assert filled / padded > 0.8


def test_the_order_is_given_by_the_generator() -> None:
    """Equal seeds give equal batches, other seeds other ones."""
    texts = [[1] * (1 + index % 5) for index in range(40)]

    def order(seed: int) -> list[int]:
        batches = labelled_batches(
            texts, range(40), max_batch=4, batch_tokens=99, random=np.random.default_rng(seed)
        )
        return [label for batch in batches for label in batch.labels.tolist()]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_long_text_keeps_its_beginning_and_more_of_its_end() -> None:
    """A short one is left alone."""
    assert shorten(list(range(100)), 8) == [0, 1, 94, 95, 96, 97, 98, 99]
    assert shorten([1, 2, 3], 8) == [1, 2, 3]
