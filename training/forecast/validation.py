"""The score that chooses a forecaster's weights; it never looks at a test part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.forecast.backtest import History, QuantileNet, forecast_along, truths_along
from training.forecast.data import no_values
from training.forecast.measure import MAX_SERIES, score_m4, seasonal_scale
from training.forecast.metrics import pinball
from training.forecast.series import M4_HORIZON, Series

_OTHERS_WEIGHT = 0.2


class Validation:
    """Scores a network on the validation parts of series; lower is better.

    M4 series count by their OWA, all others by pinball loss in units of their seasonal differences.

    Args:
        series: those without a value in their validation part are left out.
        horizon: steps ahead of the network's forecasts.

    Raises:
        DataError: no series has a value to validate on.
    """

    def __init__(self, series: Sequence[Series], horizon: int) -> None:
        judged = [item for item in series if item.validation_end > item.train_end]
        self._m4 = {
            group: [item for item in judged if item.dataset == f"m4-{group.lower()}"] for group in M4_HORIZON
        }
        others = [item for item in judged if not item.dataset.startswith("m4-")]
        self._others = [
            item
            for item in others[:: max(1, -(-len(others) // MAX_SERIES))]
            if np.isfinite(truths_along(item, horizon, *_part(item))[1]).any()
        ]
        if others and not self._others and not any(self._m4.values()):
            raise no_values(others, others[0].train_end, others[0].validation_end, "choose the weights")

    def score(self, net: QuantileNet) -> float:
        """The score of a network in evaluation mode."""
        owas = [
            score_m4(
                net,
                group,
                [History(item.values[: item.train_end], item.start, item.kind) for item in items],
                [item.values[item.train_end :] for item in items],
            )["OWA"]
            for group, items in self._m4.items()
            if items
        ]
        losses = []
        for item in self._others:
            test = forecast_along(net, item, *_part(item))
            scale = seasonal_scale(item)
            losses.append(2.0 * pinball(test.truth, test.quantiles, net.quantile_levels) / scale)
        other = float(np.mean(losses)) if losses else 0.0
        return float(np.mean(owas)) + _OTHERS_WEIGHT * other if owas else other


def _part(item: Series) -> tuple[int, int, int]:
    """Begin, end and stride of the forecasts that are scored."""
    return item.train_end, item.validation_end, max(1, (item.validation_end - item.train_end) // 16)
