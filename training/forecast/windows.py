"""Random training windows of series, as tensors.

Only the first ``end`` values of a series are ever copied into a window or its targets, so no
window can see a later split.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.features import series as columns
from app.features.series import encode
from app.tasks.forecast.covariate_spec import CovariateSpec, all_columns
from training.forecast.series import Series
from training.forecast.synthetic import mixed, synthetic


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How windows are cut.

    Args:
        batch_size: windows of a batch of long ones; of short ones there are as many more as they are shorter.
        length: steps the recurrent layers read.
        short: steps of the short windows, which make up half of the batches; ``length`` for none.
        origins: steps of a window from which a forecast is scored.
        horizon: steps ahead that are scored.
        prefix: steps before a long window that only fill the memory, in half of them; the other windows
            begin as a new series does.
        drop_frequency, drop_season, drop_time, drop_values, drop_static: probabilities of hiding what the
            network must be able to do without; ``drop_values`` is the share of windows with gaps.
        add_line, add_noise: share of the windows to which a straight line or noise is added, so that fewer
            are ever seen twice.
    """

    batch_size: int
    length: int
    origins: int
    horizon: int
    short: int = 96
    prefix: int = 400
    drop_frequency: float = 0.15
    drop_season: float = 0.08
    drop_time: float = 0.6
    drop_values: float = 0.08
    drop_static: float = 0.1
    add_line: float = 0.0
    add_noise: float = 0.0


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Tensors of a batch.

    ``relative`` ``[batch]``, 1 where relative errors count; ``sign`` ``[batch]``, -1 where the mirror image
    is read; ``prefix`` ``[batch, prefix, k]``; ``x`` ``[batch, length, k]``; ``origins`` int64 ``[batch,
    origins]`` positions in ``x``; ``targets`` and ``known`` ``[batch, origins, horizon]``; ``series`` int64
    ``[batch]`` tells what each was cut from.
    """

    relative: Tensor
    sign: Tensor
    prefix: Tensor
    x: Tensor
    origins: Tensor
    targets: Tensor
    known: Tensor
    series: Tensor

    def to(self, device: torch.device) -> WindowBatch:
        """The same batch on another device."""
        return WindowBatch(*(getattr(self, name).to(device) for name in self.__slots__))


class _Shelf:
    """Series ready to be cut: values and encoded steps of the training parts, and the chance of each."""

    def __init__(
        self, series: Sequence[Series], weights: Sequence[float], random: np.random.Generator
    ) -> None:
        total = np.asarray(weights, np.float64)
        self.chances = total / total.sum()
        self.values = [np.asarray(item.values[: item.train_end], np.float32) for item in series]
        self.told = [item.told for item in series]
        self.relative = np.array([item.relative for item in series], np.float32)
        self.x = [
            encode(item.values[: item.train_end], item.start or _some_time(random), item.kind)
            for item in series
        ]


def _some_time(random: np.random.Generator) -> datetime:
    """A calendar that says nothing of the series, so that none is relied on."""
    return datetime(1950, 1, 1) + timedelta(hours=int(random.integers(0, 24 * 365 * 60)))


class WindowSampler:
    """Draws windows from the training parts of series.

    Args:
        series: what to draw from.
        weights: chance of each series, any positive scale; one of chance 0 is never looked at.
        config: how windows are cut.
        made: share of the windows that are cut from made-up series.
        num_made: how many of those are made for an epoch.
        covariates: of all series; of made-up ones none is known.
        num_frequencies: that the network knows; made-up series have others too, which are "other" to it.
    """

    def __init__(
        self,
        series: Sequence[Series],
        weights: Sequence[float],
        config: WindowConfig,
        made: float = 0.0,
        num_made: int = 4000,
        covariates: CovariateSpec | None = None,
        num_frequencies: float = math.inf,
    ) -> None:
        self._num_frequencies = num_frequencies
        self.config, self._made, self._num_made = config, made, num_made
        self._width = len(all_columns(covariates, config.horizon))
        self._static = slice(0)
        if covariates is not None:
            begin = columns.NUM_COLUMNS + covariates.known + len(covariates.past)
            self._static = slice(begin, columns.NUM_COLUMNS + covariates.known + covariates.others)
        used = [index for index, weight in enumerate(weights) if weight > 0]
        self._series = [series[index] for index in used]
        self._weights = [weights[index] for index in used]
        self._places = np.array(used)
        self._real = _Shelf(self._series, self._weights, np.random.default_rng(0))

    def batches(self, num: int, rng: np.random.Generator) -> Iterator[WindowBatch]:
        """``num`` batches drawn with ``rng``."""
        extra = None
        if self._made:
            half = self._num_made // 2
            drawn = [*synthetic(half, rng), *mixed(half, self._series, self._weights, rng)]
            extra = _Shelf(drawn, [1.0] * len(drawn), rng)
            for x in extra.x:
                x[x[:, columns.FREQUENCY] >= self._num_frequencies, columns.FREQUENCY] = 0
        for _ in range(num):
            yield self.batch(rng, extra)

    def batch(self, rng: np.random.Generator, extra: _Shelf | None = None) -> WindowBatch:
        """One batch drawn with ``rng``."""
        config = self.config
        short = config.short < config.length and rng.random() < 0.5
        length = config.short if short else config.length
        size = config.batch_size * config.length // length
        num_before = 1 if short else config.prefix
        prefix = np.zeros((size, num_before, self._width), np.float32)
        x = np.zeros((size, length, self._width), np.float32)
        origins = np.zeros((size, config.origins if not short else max(4, config.origins // 2)), np.int64)
        targets = np.full((*origins.shape, config.horizon), np.nan, np.float32)
        relative, places = np.zeros(size, np.float32), np.full(size, -1)
        made = rng.random(size) < (self._made if extra is not None else 0.0)
        for row in range(size):
            shelf = extra if extra is not None and made[row] else self._real
            index = int(rng.choice(len(shelf.x), p=shelf.chances))
            relative[row] = shelf.relative[index]
            places[row] = -1 if made[row] else self._places[index]
            self._cut(rng, shelf, index, prefix[row], x[row], origins[row], targets[row])
            if self._add(rng, prefix[row], x[row], origins[row], targets[row]):
                # Of what was changed so, no error is relative to anything.
                relative[row] = 0.0
        known = np.isfinite(targets)
        return WindowBatch(
            torch.from_numpy(relative),
            torch.from_numpy(rng.choice(np.array([-1.0, 1.0], np.float32), size)),
            torch.from_numpy(prefix),
            torch.from_numpy(x),
            torch.from_numpy(origins),
            torch.from_numpy(np.where(known, targets, np.float32(0))),
            torch.from_numpy(known.astype(np.float32)),
            torch.from_numpy(places),
        )

    def _cut(
        self,
        rng: np.random.Generator,
        shelf: _Shelf,
        index: int,
        prefix: NDArray[np.float32],
        x: NDArray[np.float32],
        origins: NDArray[np.int64],
        targets: NDArray[np.float32],
    ) -> None:
        config, whole, values = self.config, shelf.x[index], shelf.values[index]
        end = len(values)
        # The last origin still has a target; the first windows are as likely as later ones.
        stop = int(rng.integers(min(8, end - 1), end)) if end > 2 else end
        begin = max(0, stop - len(x))
        used = stop - begin
        x[:used] = self._steps(shelf, index, begin, stop)
        # Seasons stay set in the padding: a season of zero steps has no meaning.
        x[used:, columns.FREQUENCY : columns.HAS_TIME] = whole[0, columns.FREQUENCY : columns.HAS_TIME]
        prefix[:, columns.FREQUENCY : columns.HAS_TIME] = whole[0, columns.FREQUENCY : columns.HAS_TIME]
        earlier = min(begin, len(prefix)) if len(prefix) > 1 and rng.random() < 0.5 else 0
        if earlier:
            prefix[-earlier:] = self._steps(shelf, index, begin - earlier, begin)
        if rng.random() < config.drop_values:
            self._hide(rng, x[:used])
        if rng.random() < config.drop_frequency:
            x[:, columns.FREQUENCY] = 0
        if rng.random() < config.drop_season:
            x[:, columns.FREQUENCY] = 0
            x[:, columns.SEASON : columns.HAS_TIME] = 1
            prefix[:, columns.SEASON : columns.HAS_TIME] = 1
        if rng.random() < config.drop_time:
            x[:, columns.HAS_TIME : columns.NUM_COLUMNS] = 0
        if self._static.stop and rng.random() < config.drop_static:
            x[:, self._static] = 0
        first = 0 if earlier else min(1, used - 1)
        origins[:] = rng.integers(first, used, len(origins))
        origins[0] = used - 1
        future = begin + origins[:, None] + np.arange(1, config.horizon + 1)
        inside = future < end
        targets[inside] = values[future[inside]]

    def _steps(self, shelf: _Shelf, index: int, begin: int, end: int) -> NDArray[np.float32]:
        x, told = shelf.x[index][begin:end], shelf.told[index]
        if told is not None:
            return told.widened(x, self.config.horizon, begin)
        return np.pad(x, ((0, 0), (0, self._width - columns.NUM_COLUMNS)))

    def _add(
        self,
        rng: np.random.Generator,
        prefix: NDArray[np.float32],
        x: NDArray[np.float32],
        origins: NDArray[np.int64],
        targets: NDArray[np.float32],
    ) -> bool:
        """Add a line or noise to a window, what came before it and its targets; returns whether it did."""
        config = self.config
        seen = x[:, columns.OBSERVED] > 0
        size = float(np.abs(np.diff(x[seen, columns.VALUE])).mean()) if seen.sum() > 1 else 0.0
        slope = size * rng.normal() * 0.5 if rng.random() < config.add_line else 0.0
        spread = size * rng.uniform(0.05, 0.5) if rng.random() < config.add_noise else 0.0
        if not (slope or spread):
            return False
        length = len(prefix) + len(x)
        change = slope * np.arange(length + targets.shape[1]) + spread * rng.normal(
            size=length + targets.shape[1]
        )
        steps = np.concatenate([prefix, x])
        steps[:, columns.VALUE] += np.where(steps[:, columns.OBSERVED] > 0, change[:length], 0)
        prefix[:], x[:] = steps[: len(prefix)], steps[len(prefix) :]
        targets += change[len(prefix) + origins[:, None] + np.arange(1, targets.shape[1] + 1)]
        return True

    @staticmethod
    def _hide(rng: np.random.Generator, x: NDArray[np.float32]) -> None:
        """Gaps here and there, or one long one, also at the end."""
        used = len(x)
        if rng.random() < 0.6:
            hidden = rng.random(used) < rng.uniform(0.02, 0.4)
        else:
            middle, width = rng.integers(0, used + 1), rng.integers(1, max(2, used // 4))
            hidden = np.abs(np.arange(used) - middle) <= width
        if not hidden.all():
            x[hidden, : columns.OBSERVED + 1] = 0
