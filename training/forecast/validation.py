"""The score that chooses a forecaster's weights; it never looks at a test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from training.forecast.backtest import (
    Array,
    History,
    QuantileNet,
    forecast_after,
    forecast_along,
    truths_along,
)
from training.forecast.baselines import seasonal_naive
from training.forecast.candidates import SETTLING
from training.forecast.data import no_values
from training.forecast.figures import seasonal_scale
from training.forecast.measure import score_m4
from training.forecast.metrics import mae, pinball
from training.forecast.net import Forecaster
from training.forecast.series import M4_HORIZON, Series
from training.forecast.synthetic import synthetic
from training.forecast.user_report import MAX_SERIES

_OTHERS_WEIGHT = 0.3
# Enough series, and enough of each, to tell two networks apart.
_CONTEXT = 500
_MOST_M4, _MOST_HELD_OUT = 90, 160
# A seasonal naive forecast with a smaller error, in units of a series, is taken to have this one.
_EXACT = 0.05
_MADE_UP = 20_240
_NARROWER = np.arange(0.0, 0.31, 0.01)
_TOGETHER = (0, 1, 3, 6, 12, 18)
# A group of so many series tells how wide intervals have to be; of each, so many values must lie in them.
_ENOUGH, _LEAST_HELD = 30, 0.75


class Validation:
    """Scores a network on the validation parts of series; lower is better.

    M4 series count by their OWA; series that are never trained on by their pinball loss over that of
    seasonal naive, frequency by frequency; all others by pinball loss in units of their seasonal
    differences. Where there are M4 series, made-up ones count too, by the mean of that ratio.

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
        self._made_up = _made_up(_MOST_HELD_OUT) if any(self._m4.values()) else []
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
            ours, theirs = _losses(net, items)
            parts[f"frequency {index}"] = float(ours.mean()) / max(float(theirs.mean()), 1e-9)
        if self._made_up:
            ours, theirs = _losses(net, self._made_up)
            parts["made up"] = float(np.minimum(ours / np.maximum(theirs, _EXACT), 2.0).mean())
        losses = []
        for item in self._others:
            test = forecast_along(net, item, *_part(item))
            losses.append(
                2.0 * pinball(test.truth, test.quantiles, net.quantile_levels) / seasonal_scale(item)
            )
        if losses:
            parts["others"] = float(np.mean(losses)) * (_OTHERS_WEIGHT if parts else 1.0)
        return parts

    def calibrate(self, net: Forecaster) -> None:
        """Narrow the intervals of settled series, until four in five values lie in those of 80 %.

        For so many steps ahead at once as :data:`_TOGETHER` says, as far as validation parts reach; in no
        group of series do fewer than three in four lie there because of it. Where there is no group that
        can be judged, nothing is changed.
        """
        groups = [
            [item for item in items if item.train_end >= 2 * SETTLING]
            for items in (*self._m4.values(), *self._held_out.values())
        ]
        groups = [items for items in groups if len(items) >= _ENOUGH]
        if not groups:
            return
        net.narrowing.zero_()
        judged = [_taken(net, items) for items in groups]
        for begin, end in pairwise([*(step for step in _TOGETHER if step < net.horizon), net.horizon]):
            parts = [_held(taken[:, begin:end]) for taken in judged if np.isfinite(taken[:, begin:end]).any()]
            if parts:
                # [groups, how much narrower]
                held = np.array(parts)
                allowed = held.min(0) >= min(_LEAST_HELD, float(held[:, 0].min()))
                off = np.where(allowed, np.abs(held.mean(0) - 0.8), np.inf)
                net.narrowing[begin:end] = float(_NARROWER[off.argmin()])
            elif begin:
                net.narrowing[begin:end] = net.narrowing[begin - 1]


def _taken(net: Forecaster, items: Sequence[Series]) -> Array:
    """``[items, horizon]``, how much of its half of the 80 % interval each value takes; NaN where unknown."""
    low, middle, high = (net.quantile_levels.index(level) for level in (0.1, 0.5, 0.9))
    taken = np.full((len(items), net.horizon), np.nan)
    forecasts = forecast_after(net, [_history(item) for item in items])
    for row, item, forecast in zip(taken, items, forecasts, strict=True):
        truth = item.values[item.train_end : item.validation_end][: net.horizon]
        known = forecast[: len(truth)]
        error = truth - known[:, middle]
        reach = np.where(error > 0, known[:, high], known[:, low]) - known[:, middle]
        row[: len(truth)] = np.abs(error) / np.maximum(np.abs(reach), 1e-30)
    return taken


def _held(taken: Array) -> list[float]:
    """The share of values that intervals hold which are narrower by so much; each series counts once."""
    some = [row[np.isfinite(row)] for row in taken]
    return [float(np.mean([np.mean(row <= 1.0 - less) for row in some if len(row)])) for less in _NARROWER]


def _made_up(num: int) -> list[Series]:
    """Made-up series that no training draws, the last third of each to be forecast."""
    found = (item for item in synthetic(num, np.random.default_rng(_MADE_UP)) if len(item.values) >= 12)
    return [replace(item, train_end=len(item.values) - min(24, len(item.values) // 3)) for item in found]


def _losses(net: QuantileNet, items: Sequence[Series]) -> tuple[Array, Array]:
    """Pinball losses and the absolute errors of seasonal naive, both in units of each series."""
    quantiles = forecast_after(net, [_history(item) for item in items])
    ours, theirs = [], []
    for item, forecast in zip(items, quantiles, strict=True):
        truth = item.values[item.train_end : item.validation_end][: net.horizon]
        naive = seasonal_naive(item.values[: item.train_end], len(truth), item.kind.season)
        if np.isfinite(truth).any():
            scale = seasonal_scale(item)
            ours.append(2.0 * pinball(truth, forecast[: len(truth)], net.quantile_levels) / scale)
            theirs.append(mae(truth, naive) / scale)
    return np.array(ours), np.array(theirs)


def _history(item: Series) -> History:
    begin = max(0, item.train_end - _CONTEXT) if item.start is None else 0
    return History(item.values[begin : item.train_end], item.start, item.kind)


def _some(items: Sequence[Series], most: int) -> list[Series]:
    return list(items[:: max(1, -(-len(items) // most))])


def _part(item: Series) -> tuple[int, int, int]:
    """Begin, end and stride of the forecasts that are scored."""
    return item.train_end, item.validation_end, max(1, (item.validation_end - item.train_end) // 16)
