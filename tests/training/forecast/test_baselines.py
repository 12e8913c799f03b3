"""What networks are compared with."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.forecast.baselines import moving_average, theta

RANDOM = np.random.default_rng(0)


def errors(values: NDArray[np.float64], season: int) -> tuple[float, float]:
    """Mean absolute errors of Theta and of the value one season before, of the last fifth."""
    fitted, horizon = len(values) * 4 // 5, 6
    origins = np.arange(fitted - 1, len(values) - horizon)
    truth = values[origins[:, None] + np.arange(1, horizon + 1)]
    back = -(-np.arange(1, horizon + 1) // season) * season - np.arange(1, horizon + 1)
    naive = values[origins[:, None] - back]
    made = theta(values, fitted, origins, horizon, season)
    return float(np.abs(made - truth).mean()), float(np.abs(naive - truth).mean())


@pytest.mark.parametrize("level", [200.0, 0.0], ids=["multiplicative", "additive"])
def test_theta_takes_season_and_trend(level: float) -> None:
    """On a noisy line with a season it is ahead of the seasonal naive forecast, above zero and around it."""
    time = np.arange(180.0)
    values = level + 0.5 * time + 20 * np.sin(2 * np.pi * time / 12) + RANDOM.normal(0, 5, 180)
    ours, naive = errors(values, 12)
    assert ours < 0.8 * naive


def test_theta_of_a_line_falls_behind_by_half_its_slope_alone() -> None:
    """Half the slope is the method; what it forecasts next lies nearly on the line."""
    values = 10 + 2.0 * np.arange(100.0)
    (made,) = theta(values, 100, np.array([99]), 4, 1)
    assert made == pytest.approx(values[-1] + 1 + np.arange(4), abs=0.3)


def test_theta_bears_gaps_constants_and_zeros() -> None:
    values = np.where(np.arange(60) % 9 == 0, np.nan, 5.0)
    assert theta(values, 50, np.array([49, 59]), 3, 7) == pytest.approx(5.0)
    assert not theta(np.zeros(30), 20, np.array([25]), 3, 7).any()


def test_a_moving_average_is_that_of_the_last_season() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    assert moving_average(values, np.array([0, 2, 4]), 2, 3).tolist() == [
        [1.0, 1.0],
        [2.0, 2.0],
        [pytest.approx(11 / 3)] * 2,
    ]
