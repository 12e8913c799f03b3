"""How good forecasts were: truths and quantiles in, scaled errors out.

MASE and RMSSE are those of Hyndman & Koehler (2006) and of the M5 competition; the scaled quantile loss is
M5's, averaged over levels. NaN in a truth means "not known" and is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from app.tasks.forecast.backtest_schema import Scores

Array = NDArray[np.float64]

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean absolute and mean squared seasonal difference; ``None`` where there is none, or all are 0."""

    absolute: float | None
    squared: float | None

    @classmethod
    def of(cls, past: Array, season: int) -> Scale:
        differences = past[season:] - past[:-season]
        known = differences[~np.isnan(differences)]
        if not known.size or not known.any():
            return cls(None, None)
        return cls(float(np.abs(known).mean()), float((known * known).mean()))


def scores(
    truth: Array,
    mean: Array,
    quantiles: Array,
    levels: Sequence[float],
    intervals: dict[str, tuple[Array, Array]],
    scale: Scale,
) -> Scores:
    """Of means ``[origins, horizon]`` and quantiles ``[origins, horizon, levels]``."""
    known = ~np.isnan(truth)
    actual, said = truth[known], quantiles[known]
    median = said[:, middle(levels)]
    errors = actual[:, None] - said
    ranks = np.array(levels)
    loss = np.maximum(ranks * errors, (ranks - 1.0) * errors)
    return Scores.model_construct(
        mase=_scaled(np.abs(actual - median), scale.absolute),
        rmsse=_root(_scaled((actual - mean[known]) ** 2, scale.squared)),
        pinball=_scaled(loss, scale.absolute),
        coverage={
            name: _mean((actual >= low[known]) & (actual <= high[known]))
            for name, (low, high) in intervals.items()
        },
    )


def middle(levels: Sequence[float]) -> int:
    """The place of the median, or of what is nearest to it."""
    return int(np.argmin(np.abs(np.array(levels) - 0.5)))


def mean_scores(each: Sequence[Scores]) -> Scores:
    """The mean over series of every score that they have."""
    return Scores.model_construct(
        mase=_mean_of(one.mase for one in each),
        rmsse=_mean_of(one.rmsse for one in each),
        pinball=_mean_of(one.pinball for one in each),
        coverage={name: _mean_of(one.coverage[name] for one in each) for name in each[0].coverage},
    )


def seasonal_naive(past: Array, season: int, horizon: int, levels: Sequence[float]) -> Array:
    """Quantiles ``[horizon, levels]`` of the seasonal naive forecast.

    The latest known value of the same season, and a normal distribution whose variance is that of the
    seasonal differences times the seasons ahead (Hyndman & Athanasopoulos, "Forecasting: Principles and
    Practice", 5.5).
    """
    filled = _forward_filled(past)
    ahead = np.arange(1, horizon + 1)
    seasons = -(-ahead // season)
    back = len(past) - 1 + ahead - seasons * season
    differences = past[season:] - past[:-season]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no difference is known: the spread is nothing
        spread = float(np.nan_to_num(np.sqrt(np.nanmean(differences**2)))) if differences.size else 0.0
    normal = np.array([NormalDist().inv_cdf(level) for level in levels])
    quantiles: Array = filled[np.maximum(back, 0)][:, None] + spread * np.sqrt(seasons)[:, None] * normal
    return quantiles


def _forward_filled(values: Array) -> Array:
    """Missing values are those before them; leading ones the first that is known."""
    known = ~np.isnan(values)
    latest = np.maximum.accumulate(np.where(known, np.arange(len(values)), int(np.argmax(known))))
    return values[latest]


def _scaled(errors: Array, scale: float | None) -> float | None:
    if scale is None or not errors.size:
        return None
    return round(float(errors.mean()) / scale, _DECIMALS)


def _root(value: float | None) -> float | None:
    return None if value is None else round(value**0.5, _DECIMALS)


def _mean(inside: NDArray[np.bool_]) -> float | None:
    return round(float(inside.mean()), _DECIMALS) if inside.size else None


def _mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), _DECIMALS) if known else None
