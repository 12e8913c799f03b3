"""What figures of forecasters are made of: scales, coverages, and forecasts to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Quality
from training.forecast.backtest import Backtest, QuantileNet
from training.forecast.baselines import forward_filled
from training.forecast.metrics import coverage
from training.forecast.series import Series

Array = NDArray[np.float64]
# Of seasonal differences all but a few lie below this quantile, and an honest one not so many times above.
_USUAL, _MOST_TIMES_USUAL = 0.97, 20.0


def median_of(net: QuantileNet) -> int:
    """Position of the median on the last axis of a forecast."""
    return net.quantile_levels.index(0.5)


def seasonal_scale(item: Series) -> float:
    """Mean absolute seasonal difference of the training part; 1 where it does not vary.

    The few largest are bounded, so that a typing error does not make every error small.
    """
    past = item.values[: item.train_end]
    season = item.kind.season if len(past) > item.kind.season else 1
    differences = np.abs(past[season:] - past[:-season])
    differences = differences[np.isfinite(differences)]
    if not differences.any():
        return 1.0
    usual = np.quantile(differences[differences > 0], _USUAL, method="lower")
    return float(np.minimum(differences, _MOST_TIMES_USUAL * usual).mean())


def naive_forecasts(item: Series, test: Backtest, horizon: int) -> dict[str, Array]:
    """Last value and seasonal naive from the origins of a backtest, each ``[origins, horizon]``."""
    filled = forward_filled(item.values)
    ahead = np.arange(1, horizon + 1)
    origins = test.origins[:, None]
    result = {"last value": np.broadcast_to(filled[origins], test.truth.shape)}
    season = item.kind.season
    back = -(-ahead // season) * season - ahead
    result["seasonal naive"] = filled[np.maximum(origins - back, 0)]
    return result


def coverages(truth: Array, quantiles: Array, levels: Sequence[float]) -> dict[str, float]:
    found = {}
    for percent in (80, 95):
        try:
            found[f"coverage of the {percent} % interval"] = coverage(truth, quantiles, levels, percent)
        except ValueError:
            continue
    return found


def coverage_quality(scores: dict[str, float], dataset: str, split: str) -> list[Quality]:
    return [
        Quality(
            metric=metric,
            dataset=dataset,
            split=split,
            value=value,
            higher_is_better=True,
            references={"nominal": float(metric.split()[3]) / 100.0},
        )
        for metric, value in scores.items()
        if metric.startswith("coverage")
    ]


def quality(
    metric: str,
    dataset: str,
    split: str,
    value: float,
    baselines: dict[str, float],
    references: dict[str, float] | None = None,
) -> Quality:
    return Quality(
        metric=metric,
        dataset=dataset,
        split=split,
        value=value,
        higher_is_better=False,
        baselines=baselines,
        references=references or {},
    )
