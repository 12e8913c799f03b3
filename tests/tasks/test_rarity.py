"""How rare a score is in its own series: honest on calm series, and unmoved by what it has to find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.tasks.forecast.anomalies.rarity import Rarity

Scores = NDArray[np.float64]


@pytest.mark.parametrize(
    "draw",
    [
        lambda chance, num: chance.normal(size=num),
        lambda chance, num: 2 * chance.normal(size=num),
        lambda chance, num: 0.3 * chance.normal(size=num),
        lambda chance, num: chance.laplace(size=num),
        lambda chance, num: chance.standard_t(5, num),
    ],
    ids=["honest", "too narrow intervals", "too wide ones", "Laplace", "Student"],
)
def test_false_alarms_are_about_as_many_as_asked_for(
    draw: Callable[[np.random.Generator, int], Scores],
) -> None:
    """Whatever the intervals of the forecaster are worth on the series."""
    chance = np.random.default_rng(1)
    found = np.concatenate([Rarity().probabilities(np.abs(draw(chance, 4000))) for _ in range(20)])
    assert (found <= 0.01).mean() < 0.02
    assert (found <= 0.001).mean() < 0.003


@given(
    st.lists(st.floats(0, 50) | st.just(np.nan), min_size=1, max_size=300),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_what_is_said_depends_on_what_came_before_alone(scores: list[float], a: int, b: int) -> None:
    """Not on the parts in which the scores come, nor on what follows; NaN stays NaN."""
    whole = Rarity().probabilities(np.array(scores))
    parts, rarity = np.split(np.array(scores), sorted((min(a, len(scores)), min(b, len(scores))))), Rarity()
    np.testing.assert_array_equal(whole, np.concatenate([rarity.probabilities(part) for part in parts]))
    known = ~np.isnan(whole)
    np.testing.assert_array_equal(known, ~np.isnan(scores))
    assert ((whole[known] > 0) & (whole[known] <= 1)).all()


def test_a_burst_does_not_hide_the_next_one() -> None:
    """Ten wild scores leave the tail where most scores put it."""
    chance = np.random.default_rng(2)
    calm = np.abs(chance.normal(size=2000))
    rarity = Rarity()
    rarity.probabilities(calm)
    assert rarity.probabilities(np.full(10, 20.0)).max() < 1e-6
    rarity.probabilities(calm)
    assert rarity.probabilities(np.array([8.0]))[0] < 1e-4
