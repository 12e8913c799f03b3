"""Measures of forecasts: arrays of forecasts and truths in, numbers out.

sMAPE, MASE and OWA are those of the M4 competition (Makridakis et al. 2020), to the digit. NaN
in a truth means "not known" and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Naive2's scores in the organisers' sheet: what OWA divides by. (sMAPE in percent, MASE)
NAIVE2 = {"Hourly": (18.383, 2.395), "Weekly": (9.161, 2.777)}


def smape(truth: Array, forecast: Array) -> float:
    """Symmetric mean absolute percentage error, in percent, of one series."""
    scale = np.abs(truth) + np.abs(forecast)
    error = 2.0 * np.abs(truth - forecast) / np.where(scale > 0, scale, 1.0)
    return float(np.nanmean(error) * 100.0)


def mase(truth: Array, forecast: Array, history: Array, season: int) -> float:
    """Mean absolute error over the mean absolute seasonal difference of ``history``.

    Raises:
        ZeroDivisionError: the history does not vary from season to season.
    """
    scale = float(np.nanmean(np.abs(history[season:] - history[:-season])))
    if not scale > 0:
        raise ZeroDivisionError("the history has no seasonal differences to scale with")
    return float(np.nanmean(np.abs(truth - forecast))) / scale


def owa(smape_percent: float, mase_value: float, group: str) -> float:
    """Overall weighted average of M4: the mean ratio to Naive2's official scores of ``group``."""
    reference_smape, reference_mase = NAIVE2[group]
    return 0.5 * (smape_percent / reference_smape + mase_value / reference_mase)


def m4_scores(
    truths: Sequence[Array], forecasts: Sequence[Array], histories: Sequence[Array], group: str
) -> dict[str, float]:
    """Mean sMAPE and MASE over series, and their OWA."""
    season = 24 if group == "Hourly" else 1
    errors = float(np.mean([smape(t, f) for t, f in zip(truths, forecasts, strict=True)]))
    scaled = float(
        np.mean([mase(t, f, h, season) for t, f, h in zip(truths, forecasts, histories, strict=True)])
    )
    return {"sMAPE": errors, "MASE": scaled, "OWA": owa(errors, scaled, group)}


def pinball(truth: Array, quantiles: Array, levels: Sequence[float]) -> float:
    """Mean quantile loss; ``quantiles`` is ``[*truth.shape, levels]``."""
    error = truth[..., None] - quantiles
    level = np.asarray(levels)
    return float(np.nanmean(np.maximum(level * error, (level - 1.0) * error)))


def weighted_quantile_loss(truth: Array, quantiles: Array, levels: Sequence[float]) -> float:
    """Twice the summed quantile loss over the summed absolute truth, averaged over levels."""
    return 2.0 * pinball(truth, quantiles, levels) / float(np.nanmean(np.abs(truth)))


def coverage(truth: Array, quantiles: Array, levels: Sequence[float], percent: float) -> float:
    """Share of truths inside the central interval of ``percent``.

    Raises:
        ValueError: the interval's ends are not among ``levels``.
    """
    tail = round((100.0 - percent) / 200.0, 6)
    ends = [round(level, 6) for level in levels]
    low, high = ends.index(tail), ends.index(round(1.0 - tail, 6))
    inside = (truth >= quantiles[..., low]) & (truth <= quantiles[..., high])
    return float(np.mean(inside[np.isfinite(truth)]))


def rmse(truth: Array, forecast: Array) -> float:
    """Root mean square error."""
    return float(np.sqrt(np.nanmean((truth - forecast) ** 2)))


def mse(truth: Array, forecast: Array) -> float:
    """Mean square error."""
    return float(np.nanmean((truth - forecast) ** 2))


def mae(truth: Array, forecast: Array) -> float:
    """Mean absolute error."""
    return float(np.nanmean(np.abs(truth - forecast)))


def rse(truth: Array, forecast: Array) -> float:
    """Root relative squared error (Lai et al. 2018): over the spread of the truth around its mean."""
    return float(np.sqrt(np.nansum((truth - forecast) ** 2) / np.nansum((truth - np.nanmean(truth)) ** 2)))
