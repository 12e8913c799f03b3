"""A forecaster's forecasts of the past: series in, quantiles and truths out.

The network is causal, so one pass over a series gives the forecast from every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.bundle.reader import Bundle
from app.features import series as columns
from app.features.series import SeriesKind, encode
from app.tasks.forecast.spec import ForecastSpec
from training.forecast.series import Series
from training.graph_net import GraphNet

Array = NDArray[np.float64]
# Enough steps before the first forecast that what came earlier no longer matters.
CONTEXT = 1024
_CHUNK = 512
_BATCH = 64


@dataclass(frozen=True, slots=True)
class History:
    """What is known when a forecast is made."""

    values: Array
    start: datetime | None
    kind: SeriesKind


@dataclass(frozen=True, slots=True)
class Backtest:
    """Forecasts made along one series.

    ``truth`` ``[origins, horizon]`` (NaN where not known), ``quantiles`` ``[origins, horizon, levels]``,
    ``origins`` index of the last value each forecast saw.
    """

    origins: NDArray[np.int64]
    truth: Array
    quantiles: Array


class QuantileNet(Protocol):
    """What forecasts: a network, or the graph exported from it."""

    @property
    def horizon(self) -> int:
        """Steps ahead of a forecast."""

    @property
    def quantile_levels(self) -> tuple[float, ...]:
        """Of the last axis of a forecast, ascending."""

    def forecast_at(self, x: Tensor, steps: Tensor) -> Tensor:
        """Forecasts ``[batch, num, horizon, levels]`` of ``x`` after ``steps`` ``[batch, num]``."""


class GraphForecaster:
    """A bundle's graph as a :class:`QuantileNet`, so that what is served can be measured.

    Args:
        bundle: a forecaster.
    """

    def __init__(self, bundle: Bundle) -> None:
        spec = bundle.manifest.spec_as(ForecastSpec)
        self.horizon = spec.horizon
        self.quantile_levels = spec.quantiles
        self._net = GraphNet(bundle)

    def forecast_at(self, x: Tensor, steps: Tensor) -> Tensor:
        return torch.stack([self._forecast_row(row[None], read) for row, read in zip(x, steps, strict=True)])

    def _forecast_row(self, x: Tensor, steps: Tensor) -> Tensor:
        state, parts = self._net.start_row()[None], []
        for begin in range(0, int(steps.max()) + 1, _CHUNK):
            piece = x[:, begin : min(begin + _CHUNK, int(steps.max()) + 1)]
            inside = steps[(steps >= begin) & (steps < begin + piece.shape[1])] - begin
            head_from = int(inside.min()) if len(inside) else piece.shape[1]
            outputs, state = self._net(piece, state, head_from)
            parts.append(outputs["quantiles"][0, inside - head_from])
        return torch.cat(parts)


def forecast_after(net: QuantileNet, histories: Sequence[History]) -> Array:
    """One forecast from the end of each history.

    Returns:
        ``[histories, horizon, levels]``.
    """
    order = np.argsort([len(history.values) for history in histories], kind="stable")
    result = np.empty((len(histories), net.horizon, len(net.quantile_levels)))
    for begin in range(0, len(order), _BATCH):
        chosen = order[begin : begin + _BATCH]
        encoded = [encode(histories[i].values, histories[i].start, histories[i].kind) for i in chosen]
        x = np.zeros((len(chosen), max(map(len, encoded)), columns.NUM_COLUMNS), np.float32)
        # Padding comes after the step that is read, so it changes nothing but must have a season.
        x[:, :, columns.SEASON : columns.LONG_SEASON + 1] = 1
        for row, steps in enumerate(encoded):
            x[row, : len(steps)] = steps
        last = torch.tensor([[len(steps) - 1] for steps in encoded])
        result[chosen] = net.forecast_at(torch.from_numpy(x), last)[:, 0].numpy()
    return result


def forecast_along(net: QuantileNet, series: Series, begin: int, end: int, stride: int = 1) -> Backtest:
    """Forecasts of ``series.values[begin:end]`` from every ``stride``-th step, horizons cut off at ``end``.

    The first forecast is made from ``begin - 1``, the last one from ``end - 2``.
    """
    first = max(0, begin - CONTEXT)
    x = torch.from_numpy(series.steps(first, end - 1, net.horizon)[None])
    origins, truth = truths_along(series, net.horizon, begin, end, stride)
    quantiles = net.forecast_at(x, torch.from_numpy(origins - first)[None])[0].numpy().astype(np.float64)
    return Backtest(origins, truth, quantiles)


def truths_along(
    series: Series, horizon: int, begin: int, end: int, stride: int = 1
) -> tuple[NDArray[np.int64], Array]:
    """The origins of :func:`forecast_along`, and what followed each: ``[origins, horizon]``, with NaN."""
    origins = np.arange(begin - 1, end - 1, stride)
    future = origins[:, None] + np.arange(1, horizon + 1)
    return origins, np.where(future < end, series.values[np.minimum(future, end - 1)], np.nan)
