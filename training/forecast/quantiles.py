"""Quantiles that cannot cross: positive gaps between levels, added up from the median outwards."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS: tuple[float, ...] = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995)

# Keeps neighbouring quantiles apart by more than the rounding of their sum.
MIN_GAP = 1e-4


def squareplus(value: Tensor) -> Tensor:
    """A smooth positive function (Barron 2021), free of ``exp`` and ``log``."""
    return (value + torch.sqrt(value * value + 4.0)) * 0.5


def mixing_matrix(levels: tuple[float, ...], num_shared: int) -> Tensor:
    """The constant matrix that adds the head's parts up to quantiles.

    Each row belongs to a part: the first ``num_shared`` count fully in every quantile, a gap between
    neighbouring levels only in the quantiles beyond it. Parts are positive where rows differ, so every
    summand is non-decreasing along the levels, and so is their rounded sum: quantiles cannot cross.

    Returns:
        ``[num_shared + levels - 1, levels]``.
    """
    median = levels.index(0.5)
    matrix = torch.zeros(num_shared + len(levels) - 1, len(levels))
    matrix[:num_shared] = 1.0
    for gap in range(len(levels) - 1):
        row = matrix[num_shared + gap]
        if gap < median:
            row[: gap + 1] = -1.0
        else:
            row[gap + 1 :] = 1.0
    return matrix
