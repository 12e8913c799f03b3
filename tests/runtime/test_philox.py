"""Philox against the published known-answer vectors of the Random123 library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.philox import philox4x32, uniform

ONES = 0xFFFFFFFF
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    """Ten rounds give the words that the authors published."""
    words = philox4x32(
        tuple(np.array([word], np.uint64) for word in counter),
        (np.array([key[0]], np.uint64), np.array([key[1]], np.uint64)),
    )
    assert tuple(int(word[0]) for word in words) == expected


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**40)), min_size=1, max_size=20))
def test_a_number_depends_on_its_own_seed_and_position_alone(pairs: list[tuple[int, int]]) -> None:
    """Drawn in a batch or alone, a (seed, position) gives the same number in [0, 1)."""
    seeds = np.array([seed for seed, _ in pairs], np.uint64)
    positions = np.array([position for _, position in pairs], np.uint64)
    batch = uniform(seeds, positions)
    alone = [uniform(seeds[i : i + 1], positions[i : i + 1])[0] for i in range(len(pairs))]
    assert batch.tolist() == alone
    assert ((batch >= 0) & (batch < 1)).all()


def test_numbers_are_uniform() -> None:
    """Mean, variance and ten equal bins of 100,000 numbers are what uniform numbers give."""
    numbers = uniform(np.full(100_000, 7, np.uint64), np.arange(100_000, dtype=np.uint64))
    assert abs(numbers.mean() - 0.5) < 0.005
    assert abs(numbers.var() - 1 / 12) < 0.002
    assert np.histogram(numbers, 10, (0, 1))[0].min() > 9_500
