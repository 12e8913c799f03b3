"""What the head of a forecaster says of its origins."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """Forecasts in units of the series' scale, before they are added up.

    ``parts`` ``[batch, num, horizon, k]``: weighed candidates, what is added, and gaps between levels;
    ``anchor`` they start from, ``scale`` and ``unit`` (zero where nothing has varied)
    ``[batch, num, 1, 1]``.
    """

    parts: Tensor
    anchor: Tensor
    scale: Tensor
    unit: Tensor
