"""Forecasts that need no training: what a network must beat.

A history goes in, ``horizon`` values come out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]
# Values of a moving average without a season; the last values that the smoothing of Theta is fitted to.
_AVERAGED, _SMOOTHED = 12, 2000
_ALPHAS = np.arange(1, 20) / 20.0


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


def moving_average(values: Array, origins: Places, horizon: int, season: int) -> Array:
    """The mean of the last season before each origin, or of twelve values where there is none.

    Returns:
        ``[origins, horizon]``.
    """
    length = season if season > 1 else _AVERAGED
    sums = np.concatenate([[0.0], np.cumsum(forward_filled(values))])
    begin = np.maximum(origins + 1 - length, 0)
    means = (sums[origins + 1] - sums[begin]) / (origins + 1 - begin)
    return np.repeat(means[:, None], horizon, axis=1)


def theta(values: Array, fitted: int, origins: Places, horizon: int, season: int) -> Array:
    """The Theta method (Assimakopoulos & Nikolopoulos 2000), fitted once and brought up to each origin.

    It is simple exponential smoothing with half the slope of a straight line as drift (Hyndman & Billah
    2003), of the series without its season, where that is significant: multiplicative where all values
    are positive, additive elsewhere.

    Args:
        values: ``[time]``, NaN where missing.
        fitted: season, slope and smoothing are those of the first so many values.
        origins: places of the last value that each forecast knows.
        horizon: steps ahead.
        season: steps of a season.

    Returns:
        ``[origins, horizon]``.
    """
    filled = forward_filled(values)
    past = filled[:fitted]
    factors, additive = np.zeros(season), bool(past.min() <= 0)
    seasonal = season > 1 and len(past) >= 2 * season and is_seasonal(past, season)
    if seasonal:
        factors = seasonal_factors(past, season, additive=additive)
    elif not additive:
        factors += 1.0
    every = np.resize(factors, len(filled) + horizon)
    plain = filled - every[: len(filled)] if additive else filled / every[: len(filled)]
    time = np.arange(fitted) - (fitted - 1) / 2.0
    slope = float(time @ plain[:fitted]) / max(float(time @ time), 1.0)
    recent = max(0, fitted - _SMOOTHED)
    errors = np.diff(_smoothed(plain[recent:fitted], _ALPHAS), axis=0) / _ALPHAS
    alpha = _ALPHAS[int(np.argmin((errors**2).sum(axis=0)))] if len(errors) else _ALPHAS[0]
    levels = _smoothed(plain, np.array([alpha]))[:, 0]
    ahead = np.arange(1, horizon + 1)
    drift = slope / 2.0 * (ahead - 1 + (1 - (1 - alpha) ** (origins[:, None] + 1.0)) / alpha)
    forecast = levels[origins][:, None] + drift
    later = every[origins[:, None] + ahead]
    return np.asarray(forecast + later if additive else forecast * later, np.float64)


def _smoothed(values: Array, alphas: Array) -> Array:
    """Simple exponential smoothing ``[time, alphas]``, each level with the value of its time."""
    levels = np.empty((len(values), len(alphas)))
    level = np.repeat(values[:1], len(alphas)) if len(values) else np.zeros(len(alphas))
    for step, value in enumerate(values):
        level = level + alphas * (value - level)
        levels[step] = level
    return levels


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


def seasonal_factors(history: Array, season: int, *, additive: bool = False) -> Array:
    """Seasonal factors by classical decomposition: multiplicative, mean 1, or additive, mean 0.

    Returns:
        ``[season]``; the factor of step ``t`` is at ``t % season``.
    """
    weights = np.full(season, 1.0 / season)
    if season % 2 == 0:
        weights = np.r_[0.5, np.ones(season - 1), 0.5] / season
    trend = np.convolve(history, weights, mode="valid")
    offset = (len(weights) - 1) // 2
    inside = history[offset : offset + len(trend)]
    ratios = inside - trend if additive else inside / trend
    phases = (np.arange(len(trend)) + offset) % season
    factors = np.array([ratios[phases == phase].mean() for phase in range(season)])
    return np.asarray(factors - factors.mean() if additive else factors / factors.mean(), np.float64)


def forward_filled(history: Array) -> Array:
    """Each gap holds the value before it; gaps at the start hold the first value."""
    seen = np.isfinite(history)
    if not seen.any():
        return np.zeros_like(history)
    index = np.maximum.accumulate(np.where(seen, np.arange(len(history)), -1))
    return history[np.where(index < 0, int(np.argmax(seen)), index)]
