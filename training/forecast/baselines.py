"""Forecasts that need no training: what a network must beat.

A history goes in, ``horizon`` values come out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def last_value(history: Array, horizon: int) -> Array:
    """The last observed value, for ever."""
    seen = history[np.isfinite(history)]
    return np.full(horizon, seen[-1] if len(seen) else 0.0)


def seasonal_naive(history: Array, horizon: int, season: int) -> Array:
    """The value one season before; gaps and short histories fall back on the value before them."""
    filled = forward_filled(history)
    if len(filled) < season:
        return last_value(history, horizon)
    return np.resize(filled[-season:], horizon)


def naive2(history: Array, horizon: int, season: int) -> Array:
    """The last value of the series without its season, with the season put back (Naive2 of M4).

    The season is removed by classical multiplicative decomposition where the autocorrelation at
    its lag is significant at 90 %, as in the organisers' code.
    """
    if season < 2 or len(history) < 2 * season or not is_seasonal(history, season):
        return last_value(history, horizon)
    factors = seasonal_factors(history, season)
    position = np.arange(len(history), len(history) + horizon) % season
    level = history[-1] / factors[(len(history) - 1) % season]
    return np.asarray(level * factors[position], np.float64)


def is_seasonal(history: Array, season: int) -> bool:
    """The organisers' test: Bartlett's bound on the autocorrelation at the seasonal lag."""
    if len(history) < 3 * season:
        return False
    centred = history - history.mean()
    total = float(centred @ centred)
    if not total > 0:
        return False
    correlations = np.array([float(centred[lag:] @ centred[:-lag]) / total for lag in range(1, season + 1)])
    bound = 1.645 * np.sqrt((1.0 + 2.0 * float(np.sum(correlations[:-1] ** 2))) / len(history))
    return bool(abs(correlations[-1]) > bound)


def seasonal_factors(history: Array, season: int) -> Array:
    """Multiplicative seasonal factors, mean 1, by classical decomposition.

    Returns:
        ``[season]``; the factor of step ``t`` is at ``t % season``.
    """
    weights = np.full(season, 1.0 / season)
    if season % 2 == 0:
        weights = np.r_[0.5, np.ones(season - 1), 0.5] / season
    trend = np.convolve(history, weights, mode="valid")
    offset = (len(weights) - 1) // 2
    ratios = history[offset : offset + len(trend)] / trend
    phases = (np.arange(len(trend)) + offset) % season
    factors = np.array([ratios[phases == phase].mean() for phase in range(season)])
    return np.asarray(factors / factors.mean(), np.float64)


def forward_filled(history: Array) -> Array:
    """Each gap holds the value before it; gaps at the start hold the first value."""
    seen = np.isfinite(history)
    if not seen.any():
        return np.zeros_like(history)
    index = np.maximum.accumulate(np.where(seen, np.arange(len(history)), -1))
    return history[np.where(index < 0, int(np.argmax(seen)), index)]
