"""Measures and naive forecasts against hand-computed cases and the official M4 figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.public_data import data_folder
from training.forecast.baselines import last_value, naive2, seasonal_factors, seasonal_naive
from training.forecast.metrics import (
    coverage,
    m4_scores,
    mae,
    mase,
    mse,
    owa,
    pinball,
    rmse,
    rse,
    smape,
    weighted_quantile_loss,
)
from training.forecast.series import M4_HORIZON, m4, m4_test

DATA = data_folder()


class _Folder:
    """Files of a data folder, unverified."""

    def file(self, path: str) -> Path:
        """The file's place."""
        assert DATA is not None
        return DATA / path


def test_smape_by_hand() -> None:
    """Errors of 0 and 2 x 50 / 150 average to a third of 100 %; two zeros are no error."""
    assert smape(np.array([100.0, 100.0]), np.array([100.0, 50.0])) == pytest.approx(100 / 3)
    assert smape(np.array([0.0]), np.array([0.0])) == 0.0


def test_mase_by_hand() -> None:
    """An error of 3 against seasonal differences of 2 is 1.5; a constant history has no scale."""
    history = np.array([1.0, 10.0, 3.0, 12.0, 5.0])
    assert mase(np.array([4.0]), np.array([7.0]), history, 2) == pytest.approx(1.5)
    with pytest.raises(ZeroDivisionError):
        mase(np.array([4.0]), np.array([7.0]), np.ones(5), 1)


def test_owa_of_naive2_is_one() -> None:
    """The reference scores itself 1."""
    assert owa(18.383, 2.395, "Hourly") == pytest.approx(1.0)


def test_pinball_by_hand() -> None:
    """Being 10 below costs 0.9 x 10 at the 0.9 level and 10 above costs 0.1 x 10."""
    quantiles = np.array([[0.0], [20.0]])
    assert pinball(np.array([10.0, 10.0]), quantiles, (0.9,)) == pytest.approx((9.0 + 1.0) / 2)
    assert weighted_quantile_loss(np.array([10.0, 10.0]), quantiles, (0.9,)) == pytest.approx(1.0)


def test_coverage_counts_known_truths_inside() -> None:
    """Missing truths are left out, ends count as inside, unknown intervals are refused."""
    quantiles = np.tile([1.0, 2.0, 3.0], (4, 1))
    truth = np.array([1.0, 3.5, np.nan, 2.0])
    assert coverage(truth, quantiles, (0.1, 0.5, 0.9), 80) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="not in"):
        coverage(truth, quantiles, (0.1, 0.5, 0.9), 95)


def test_errors_by_hand() -> None:
    """Errors of 3 and 4: mean square 12.5; relative to the spread of the truth for RSE."""
    truth, guess = np.array([0.0, 10.0]), np.array([3.0, 14.0])
    assert mse(truth, guess) == pytest.approx(12.5)
    assert rmse(truth, guess) == pytest.approx(12.5**0.5)
    assert mae(truth, guess) == pytest.approx(3.5)
    assert rse(truth, guess) == pytest.approx((25 / 50) ** 0.5)


def test_naive_forecasts_see_through_gaps() -> None:
    """A missing last value is the one before it; a history shorter than a season is its last value."""
    history = np.array([1.0, 2.0, 3.0, np.nan])
    assert last_value(history, 2).tolist() == [3.0, 3.0]
    assert seasonal_naive(history, 3, 2).tolist() == [3.0, 3.0, 3.0]
    assert seasonal_naive(np.array([1.0, 2.0, 3.0, 4.0]), 3, 2).tolist() == [3.0, 4.0, 3.0]
    assert seasonal_naive(history, 2, 9).tolist() == [3.0, 3.0]
    assert last_value(np.array([np.nan]), 1).tolist() == [0.0]


def test_naive2_puts_the_season_back() -> None:
    """A multiplicative season around a constant level is continued exactly."""
    pattern = np.array([0.5, 1.0, 1.5, 1.0])
    history = 100 * np.tile(pattern, 10)
    np.testing.assert_allclose(seasonal_factors(history, 4), pattern)
    np.testing.assert_allclose(naive2(history, 6, 4), 100 * np.resize(pattern, 6))


@pytest.mark.skipif(not DATA, reason="no data folder: set RNNSERVE_DATA")
@pytest.mark.parametrize(
    ("group", "season", "seasonal", "reference"),
    [("Hourly", 24, (13.912, 1.193), (18.383, 2.395)), ("Weekly", 1, (9.161, 2.777), (9.161, 2.777))],
)
def test_the_official_m4_figures_are_reproduced(
    group: str, season: int, seasonal: tuple[float, float], reference: tuple[float, float]
) -> None:
    """Seasonal naive and Naive2 score what the organisers' sheet says, to its last digit."""
    series, test = m4(_Folder(), group), m4_test(_Folder(), group)
    histories = [item.values for item in series]
    truths = [test[item.id] for item in series]
    for make, official in ((seasonal_naive, seasonal), (naive2, reference)):
        forecasts = [make(history, M4_HORIZON[group], season) for history in histories]
        scores = m4_scores(truths, forecasts, histories, group)
        assert (round(scores["sMAPE"], 3), round(scores["MASE"], 3)) == official
