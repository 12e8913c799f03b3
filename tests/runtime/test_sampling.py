"""Sampling: what may be drawn, how often, and that no row depends on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.numbers import log_softmax
from app.core.sequence import Token
from app.runtime.sampling import Sampler, SamplingBatch


def batch(
    num: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 3,
    alternatives: int = -1,
) -> SamplingBatch:
    """The same parameters for every row, successive positions."""
    return SamplingBatch(
        np.full(num, temperature),
        np.full(num, top_k, np.int64),
        np.full(num, top_p),
        np.full(num, seed, np.uint64),
        np.arange(num, dtype=np.uint64),
        np.full(num, alternatives, np.int64),
    )


def draw(logits: np.ndarray, batch: SamplingBatch, banned: Sequence[tuple[int, ...]] = ()) -> list[Token]:
    """One token for each row."""
    sampler = Sampler(batch, banned)
    tokens = sampler.tokens(logits, sampler.draw(logits))
    return [Token(token) if isinstance(token, int) else token for token in tokens]


def repeat(logits: list[float], num: int) -> np.ndarray:
    """``num`` equal rows."""
    return np.repeat(np.array([logits], np.float32), num, axis=0)


def test_temperature_zero_takes_the_most_likely_and_ties_go_to_the_lower_id() -> None:
    """Greedy decoding needs no random number."""
    assert [token.id for token in draw(repeat([1, 5, 5, 0], 3), batch(3, temperature=0))] == [1, 1, 1]


def test_frequencies_follow_the_probabilities() -> None:
    """Over 20,000 draws each token's share is its softmax probability; a banned one has none."""
    logits = [0.0, 1.0, 2.0, 9.0]
    tokens = draw(repeat(logits, 20_000), batch(20_000), [(3,)] * 20_000)
    counts = np.bincount([token.id for token in tokens], minlength=4)
    expected = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    assert counts[3] == 0
    assert np.abs(counts[:3] / 20_000 - expected).max() < 0.01


@pytest.mark.parametrize(
    ("top_k", "top_p", "allowed"),
    [
        (1, 1.0, {3}),
        (2, 1.0, {2, 3}),
        (0, 0.5, {3}),
        (0, 0.8, {2, 3}),
        (3, 0.9999, {1, 2, 3}),
        (99, 1.0, {0, 1, 2, 3}),
        (0, 1e-9, {3}),
    ],
)
def test_top_k_and_top_p_keep_the_most_likely(top_k: int, top_p: float, allowed: set[int]) -> None:
    """Probabilities here are 0.03, 0.09, 0.24 and 0.64; what is left out is never drawn, the rest is."""
    seen = {t.id for t in draw(repeat([0, 1, 2, 3], 3_000), batch(3_000, top_k=top_k, top_p=top_p))}
    assert seen == allowed


def test_a_tiny_temperature_is_greedy_and_a_huge_one_is_uniform() -> None:
    """Neither overflows."""
    logits = [100.0, -100.0, 99.0]
    assert {t.id for t in draw(repeat(logits, 100), batch(100, temperature=1e-30))} == {0}
    counts = np.bincount([t.id for t in draw(repeat(logits, 6_000), batch(6_000, temperature=1e9))])
    assert counts.min() > 1_800


def test_log_probabilities_are_of_the_unmodified_distribution() -> None:
    """Temperature and top-k change what is drawn, not what is reported."""
    logits = [0.0, 1.0, 2.0]
    expected = np.array(logits) - np.log(np.exp(logits).sum())
    token = draw(repeat(logits, 1), batch(1, temperature=0, top_k=1, alternatives=2))[0]
    assert token.id == 2
    assert token.logprob == pytest.approx(expected[2])
    assert [other for other, _ in token.alternatives] == [2, 1]
    assert [logprob for _, logprob in token.alternatives] == pytest.approx([expected[2], expected[1]])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(1, 12))
def test_a_row_is_drawn_alike_alone_and_in_any_batch(key: int, vocabulary: int, num: int) -> None:
    """Token, log-probability and alternatives are equal to the bit."""
    random = np.random.default_rng(key)
    logits = random.normal(0, 4, (num, vocabulary)).astype(np.float32)
    whole = SamplingBatch(
        random.choice([0.0, 0.5, 1.0, 2.0], num),
        random.integers(0, vocabulary + 2, num),
        random.choice([0.1, 0.7, 1.0], num),
        random.integers(0, 2**62, num).astype(np.uint64),
        random.integers(0, 1000, num).astype(np.uint64),
        random.integers(-1, 4, num),
    )
    together = draw(logits, whole)
    alone: list[Token] = []
    for i in range(num):
        rows = slice(i, i + 1)
        one = SamplingBatch(
            whole.temperature[rows],
            whole.top_k[rows],
            whole.top_p[rows],
            whole.seed[rows],
            whole.position[rows],
            whole.alternatives[rows],
        )
        alone += draw(logits[rows], one)
    assert together == alone


def test_log_softmax_sums_to_one() -> None:
    """Also for logits that would overflow ``exp``."""
    assert np.exp(log_softmax(np.array([1e4, 1e4 - 1, -1e4], np.float32))).sum() == pytest.approx(1)
