"""Learning how long runs take."""

from __future__ import annotations

import pytest

from app.core.cost import CostTable


def test_nothing_is_known_at_first() -> None:
    """So that the first run of all is not put off."""
    assert CostTable().estimate(8, 8) == 0.0


def test_a_size_is_estimated_by_its_own_runs_or_the_most_similar_ones() -> None:
    """Time per row and step: of the same powers of two, otherwise of the nearest."""
    cost = CostTable()
    cost.observe(1, 1, 1e-3)
    cost.observe(64, 1, 6.4e-3)
    assert cost.estimate(1, 1) == pytest.approx(1e-3)
    assert cost.estimate(100, 1) == pytest.approx(10e-3)
    assert cost.estimate(1, 2) == pytest.approx(2e-3)
    assert cost.estimate(32, 1) == pytest.approx(3.2e-3)


def test_estimates_follow_and_one_run_that_was_held_up_changes_little() -> None:
    """A run of ten seconds among ones of a millisecond counts as one of four."""
    cost = CostTable()
    for _ in range(50):
        cost.observe(4, 1, 1e-3)
    cost.observe(4, 1, 10.0)
    assert cost.estimate(4, 1) == pytest.approx(1.3e-3)
    for _ in range(100):
        cost.observe(4, 1, 2e-3)
    assert cost.estimate(4, 1) == pytest.approx(2e-3, rel=0.01)
