"""The n-gram baseline against probabilities worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.generate.baselines import NgramModel

sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6)


def test_a_unigram_is_interpolated_with_the_uniform_distribution() -> None:
    """Witten-Bell: counts 3 and 1 of 4, two kinds seen, four tokens in the vocabulary."""
    model = NgramModel(1, 4, boundary=0).fit([[1, 1, 1, 2]])
    assert model.probability((), 1) == pytest.approx((3 + 2 * 0.25) / 6)
    assert model.probability((), 2) == pytest.approx((1 + 2 * 0.25) / 6)
    assert model.probability((), 3) == pytest.approx((0 + 2 * 0.25) / 6)


def test_a_bigram_falls_back_on_the_unigram() -> None:
    """After 1 came 2 twice and 3 once; the rest of the weight is the unigram's."""
    model = NgramModel(2, 4, boundary=0).fit([[1, 2], [1, 2], [1, 3]])
    unigram = [(count + 3 * 0.25) / 9 for count in (0, 3, 2, 1)]
    assert model.probability((1,), 2) == pytest.approx((2 + 2 * unigram[2]) / 5)
    assert model.probability((1,), 0) == pytest.approx((0 + 2 * unigram[0]) / 5)


def test_a_context_never_seen_is_the_shorter_context() -> None:
    """Nothing followed 3, so its distribution is the unigram's."""
    model = NgramModel(2, 4, boundary=0).fit([[1, 2, 3]])
    assert model.probability((3,), 1) == pytest.approx(model.probability((), 1))


@given(sequences, st.integers(1, 4), st.lists(st.integers(0, 3), max_size=5))
def test_probabilities_sum_to_one(texts: list[list[int]], order: int, context: list[int]) -> None:
    """For any order, any counts and any context, longer than the order or shorter."""
    model = NgramModel(order, 4, boundary=0).fit(texts)
    assert sum(model.probability(tuple(context), token) for token in range(4)) == pytest.approx(1.0)


def test_nats_add_up_over_tokens_with_the_boundary_before_the_first() -> None:
    """The first token of every sequence is predicted from the boundary."""
    model = NgramModel(2, 4, boundary=0).fit([[1, 2], [1, 3]])
    expected = -math.log(model.probability((0,), 1)) - math.log(model.probability((1,), 2))
    assert model.nats([[1, 2]]) == pytest.approx(expected)


def test_longer_contexts_help_where_text_repeats() -> None:
    """A periodic text is nearly certain to a trigram and a mystery to a unigram."""
    text = [0, 1, 0, 2, 0, 3] * 40
    nats = [NgramModel(order, 4, boundary=0).fit([text]).nats([text]) / len(text) for order in (1, 2, 3)]
    assert nats[0] > nats[1] > nats[2]
    assert nats[2] < 0.1
