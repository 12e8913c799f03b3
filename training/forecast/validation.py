"""The score that chooses a forecaster's weights; it never looks at a test part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.forecast.backtest import History, QuantileNet, forecast_after, forecast_along, truths_along
from training.forecast.baselines import seasonal_naive
from training.forecast.data import no_values
from training.forecast.figures import seasonal_scale
from training.forecast.measure import score_m4
from training.forecast.metrics import mae, pinball
from training.forecast.series import M4_HORIZON, Series
from training.forecast.user_report import MAX_SERIES

_OTHERS_WEIGHT = 0.3
# Enough series, and enough of each, to tell two networks apart.
_CONTEXT = 500
_MOST_M4, _MOST_HELD_OUT = 90, 160


class Validation:
    """Scores a network on the validation parts of series; lower is better.

    M4 series count by their OWA; series that are never trained on by their pinball loss over that of
    seasonal naive, frequency by frequency; all others by pinball loss in units of their seasonal
    differences.

    Args:
        series: those without a value in their validation part are left out.
        horizon: steps ahead of the network's forecasts.

    Raises:
        DataError: no series has a value to validate on.
    """

    def __init__(self, series: Sequence[Series], horizon: int) -> None:
        judged = [item for item in series if item.validation_end > item.train_end]
        self._m4 = {
            group: _some([item for item in judged if item.dataset == f"m4-{group.lower()}"], _MOST_M4)
            for group in M4_HORIZON
        }
        judged = [item for item in judged if not item.dataset.startswith("m4-")]
        self._held_out: dict[int, list[Series]] = {}
        for item in judged:
            if not item.trained:
                self._held_out.setdefault(item.kind.index, []).append(item)
        self._held_out = {index: _some(items, _MOST_HELD_OUT) for index, items in self._held_out.items()}
        others = [item for item in judged if item.trained]
        self._others = [
            item
            for item in _some(others, MAX_SERIES)
            if np.isfinite(truths_along(item, horizon, *_part(item))[1]).any()
        ]
        if others and not self._others and not any(self._m4.values()):
            raise no_values(others, others[0].train_end, others[0].validation_end, "choose the weights")

    def score(self, net: QuantileNet) -> float:
        """The score of a network in evaluation mode."""
        return sum(self.scores(net).values())

    def scores(self, net: QuantileNet) -> dict[str, float]:
        """The parts that the score is the sum of, by what they were measured on."""
        parts = {}
        for group, items in self._m4.items():
            if items:
                truths = [item.values[item.train_end :] for item in items]
                parts[f"M4 {group}"] = score_m4(net, group, [_history(item) for item in items], truths)["OWA"]
        for index, items in self._held_out.items():
            parts[f"frequency {index}"] = _held_out(net, items)
        losses = []
        for item in self._others:
            test = forecast_along(net, item, *_part(item))
            losses.append(
                2.0 * pinball(test.truth, test.quantiles, net.quantile_levels) / seasonal_scale(item)
            )
        if losses:
            parts["others"] = float(np.mean(losses)) * (_OTHERS_WEIGHT if parts else 1.0)
        return parts


def _held_out(net: QuantileNet, items: Sequence[Series]) -> float:
    """Pinball loss over the absolute error of seasonal naive, both in units of each series."""
    quantiles = forecast_after(net, [_history(item) for item in items])
    ours, theirs = [], []
    for item, forecast in zip(items, quantiles, strict=True):
        truth = item.values[item.train_end : item.validation_end][: net.horizon]
        naive = seasonal_naive(item.values[: item.train_end], len(truth), item.kind.season)
        if np.isfinite(truth).any():
            scale = seasonal_scale(item)
            ours.append(2.0 * pinball(truth, forecast[: len(truth)], net.quantile_levels) / scale)
            theirs.append(mae(truth, naive) / scale)
    return float(np.mean(ours)) / max(float(np.mean(theirs)), 1e-9)


def _history(item: Series) -> History:
    begin = max(0, item.train_end - _CONTEXT) if item.start is None else 0
    return History(item.values[begin : item.train_end], item.start, item.kind)


def _some(items: Sequence[Series], most: int) -> list[Series]:
    return list(items[:: max(1, -(-len(items) // most))])


def _part(item: Series) -> tuple[int, int, int]:
    """Begin, end and stride of the forecasts that are scored."""
    return item.train_end, item.validation_end, max(1, (item.validation_end - item.train_end) // 16)
