"""Random training windows of series, as tensors.

Only the first ``end`` values of a series are ever copied into a window or its targets, so no
window can see a later split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.features import series as columns
from app.features.series import encode
from training.forecast.series import Series


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How windows are cut.

    Args:
        batch_size: windows of a batch.
        length: steps the recurrent layers read.
        origins: steps of a window from which a forecast is scored.
        horizon: steps ahead that are scored.
        prefix: steps before the window that only fill the buffer, age and scales, in half of the windows;
            the other half begins as a new series does.
        drop_frequency, drop_time, drop_values: probabilities of hiding what the network must be able to
            do without; ``drop_values`` is the share of windows with random gaps.
    """

    batch_size: int
    length: int
    origins: int
    horizon: int
    prefix: int = 336
    drop_frequency: float = 0.05
    drop_time: float = 0.5
    drop_values: float = 0.05


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Tensors of a batch.

    ``relative`` ``[batch]``, 1 where relative errors count; ``prefix`` ``[batch, prefix, 12]``;
    ``x`` ``[batch, length, 12]``; ``origins`` int64
    ``[batch, origins]`` positions in ``x``; ``targets`` and ``known`` ``[batch, origins, horizon]``.
    """

    relative: Tensor
    prefix: Tensor
    x: Tensor
    origins: Tensor
    targets: Tensor
    known: Tensor

    def to(self, device: torch.device) -> WindowBatch:
        """The same batch on another device."""
        return WindowBatch(*(getattr(self, name).to(device) for name in self.__slots__))


class WindowSampler:
    """Draws windows from the training parts of series.

    Args:
        series: what to draw from.
        weights: chance of each series, any positive scale.
        config: how windows are cut.
    """

    def __init__(self, series: Sequence[Series], weights: Sequence[float], config: WindowConfig) -> None:
        self.config = config
        total = np.asarray(weights, np.float64)
        self._chances = total / total.sum()
        self._values = [np.asarray(item.values[: item.train_end], np.float32) for item in series]
        self._relative = np.array([item.relative for item in series], np.float32)
        self._x = [encode(item.values[: item.train_end], item.start, item.kind) for item in series]

    def batches(self, num: int, rng: np.random.Generator) -> Iterator[WindowBatch]:
        """``num`` batches drawn with ``rng``."""
        for _ in range(num):
            yield self.batch(rng)

    def batch(self, rng: np.random.Generator) -> WindowBatch:
        """One batch drawn with ``rng``."""
        config = self.config
        prefix = np.zeros((config.batch_size, config.prefix, columns.NUM_COLUMNS), np.float32)
        x = np.zeros((config.batch_size, config.length, columns.NUM_COLUMNS), np.float32)
        origins = np.zeros((config.batch_size, config.origins), np.int64)
        targets = np.full((config.batch_size, config.origins, config.horizon), np.nan, np.float32)
        chosen = rng.choice(len(self._x), config.batch_size, p=self._chances)
        for row, index in enumerate(chosen):
            self._cut(rng, index, prefix[row], x[row], origins[row], targets[row])
        known = np.isfinite(targets)
        return WindowBatch(
            torch.from_numpy(self._relative[chosen]),
            torch.from_numpy(prefix),
            torch.from_numpy(x),
            torch.from_numpy(origins),
            torch.from_numpy(np.where(known, targets, np.float32(0))),
            torch.from_numpy(known.astype(np.float32)),
        )

    def _cut(
        self,
        rng: np.random.Generator,
        index: int,
        prefix: NDArray[np.float32],
        x: NDArray[np.float32],
        origins: NDArray[np.int64],
        targets: NDArray[np.float32],
    ) -> None:
        config, whole, values = self.config, self._x[index], self._values[index]
        end = len(values)
        # The last origin still has a target; the first windows are as likely as later ones.
        stop = int(rng.integers(min(8, end - 1), end)) if end > 2 else end
        begin = max(0, stop - config.length)
        used = stop - begin
        x[:used] = whole[begin:stop]
        # Seasons stay set in the padding: a season of zero steps has no meaning.
        x[used:, columns.FREQUENCY : columns.HAS_TIME] = whole[0, columns.FREQUENCY : columns.HAS_TIME]
        prefix[:, columns.FREQUENCY : columns.HAS_TIME] = whole[0, columns.FREQUENCY : columns.HAS_TIME]
        earlier = min(begin, config.prefix) if rng.random() < 0.5 else 0
        if earlier:
            prefix[-earlier:] = whole[begin - earlier : begin]
        if rng.random() < config.drop_values:
            hidden = rng.random(used) < rng.uniform(0.02, 0.4)
            x[:used][hidden, : columns.OBSERVED + 1] = 0
        if rng.random() < config.drop_frequency:
            x[:, columns.FREQUENCY] = 0
        if rng.random() < config.drop_time:
            x[:, columns.HAS_TIME :] = 0
        first = 0 if earlier else min(3, used - 1)
        origins[:] = rng.integers(first, used, config.origins)
        origins[0] = used - 1
        future = begin + origins[:, None] + np.arange(1, config.horizon + 1)
        inside = future < end
        targets[inside] = values[future[inside]]
