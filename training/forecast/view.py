"""What passes between the parts of a forecaster: what its steps see, and what its head says."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class View:
    """What the steps of one call see; ``[batch, time, ...]`` except ``buffer``.

    ``filled`` values; ``buffer`` ``[batch, 336 + time]`` the same with the carried past before them;
    ``age`` steps since the first observation; ``differences`` to each lag; ``valid`` lags; ``weights``
    forgetting counts of one-step and seasonal differences; ``scales`` their mean absolute values.
    """

    filled: Tensor
    buffer: Tensor
    age: Tensor
    seasons: Tensor
    differences: Tensor
    valid: Tensor
    weights: Tensor
    scales: Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """Forecasts in units of the series' scale.

    ``offsets`` of the quantiles from the last value ``[batch, num, horizon, levels]``; ``last`` value,
    mean ``single``-step difference and ``scale`` ``[batch, num, 1, 1]``; ``seasonal`` naive forecast as an
    offset ``[batch, num, horizon, 1]``.
    """

    offsets: Tensor
    last: Tensor
    single: Tensor
    scale: Tensor
    seasonal: Tensor

    @property
    def quantiles(self) -> Tensor:
        """In the series' own unit."""
        return self.last + self.scale * self.offsets
