"""What the quantiles of a forecaster's trained levels say of other levels, of the mean, of single values."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Answers keep this many digits of their largest number; float32 has no more to say.
_DIGITS = 8
# Most callers ask for the same few levels; others' weights are found anew.
_KEPT_LEVELS = 256


class Quantiles:
    """Of the levels that a network was trained for, ascending.

    Attributes:
        weights: ``(levels) ->`` their names, and the weights ``[trained, 1 + levels]`` of the mean and of
        each.
    """

    def __init__(self, trained: tuple[float, ...]) -> None:
        normal = NormalDist()
        self.trained = np.array(trained)
        self.scores = np.array([normal.inv_cdf(level) for level in trained])
        self.weights = lru_cache(maxsize=_KEPT_LEVELS)(self._find_weights)

    def draw(self, quantiles: Array, scores: Array) -> Array:
        """The values ``[...]`` at normal scores ``[...]`` of distributions with quantiles ``[..., trained]``.

        Between trained levels as in :func:`interpolation`; beyond the outermost the tails are those of a
        normal distribution with the slope there.
        """
        if len(self.trained) == 1:
            return quantiles[..., 0].copy()
        right = np.searchsorted(self.scores, scores).clip(1, len(self.scores) - 1)
        low = np.take_along_axis(quantiles, right[..., None] - 1, -1)[..., 0]
        high = np.take_along_axis(quantiles, right[..., None], -1)[..., 0]
        left = self.scores[right - 1]
        drawn: Array = low + (scores - left) / (self.scores[right] - left) * (high - low)
        return drawn

    def _find_weights(self, levels: tuple[float, ...]) -> tuple[list[str], Array]:
        others = interpolation(self.trained, np.array(levels))
        weights = np.concatenate([mean_weights(self.trained)[:, None], others], axis=1)
        return [f"{level:g}" for level in levels], weights


def interpolation(trained: Array, wanted: Array) -> Array:
    """Weights ``[trained, wanted]`` that interpolate quantiles linearly in the normal score.

    Between two trained levels a quantile function is closer to straight against the normal
    score than against the level; the weights are monotone, so quantiles cannot cross.
    """
    normal = NormalDist()
    known = np.array([normal.inv_cdf(level) for level in trained])
    asked = np.array([normal.inv_cdf(level) for level in wanted])
    if len(trained) == 1:
        return np.ones((1, len(wanted)))
    right = np.clip(np.searchsorted(trained, wanted), 1, len(trained) - 1)
    weights = np.zeros((len(trained), len(wanted)))
    columns = np.arange(len(wanted))
    # Exactly 0 or 1 at a trained level.
    share = (asked - known[right - 1]) / (known[right] - known[right - 1])
    weights[right, columns] = share
    weights[right - 1, columns] = 1.0 - share
    return weights


def mean_weights(levels: Array) -> Array:
    """Weights of the quantiles in the mean: the integral of the piecewise linear quantile function.

    Beyond the outermost levels the function is taken as flat, so heavy tails count less.
    """
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(edges)


def rounded(table: Array, noise: float = 0.0) -> Array:
    """Without the digits that float32 cannot know; below ``noise`` all is zero, and zeros have no sign."""
    largest = max(float(np.maximum.reduce(table, axis=None)), -float(np.minimum.reduce(table, axis=None)))
    if largest <= noise:
        return np.zeros_like(table)
    # Rounding makes zero of what is smaller still.
    if noise > largest * 10.0**-_DIGITS:
        table = np.where(np.abs(table) < noise, 0.0, table)
    decimals = _DIGITS - 1 - math.floor(math.log10(largest))
    # A negative zero plus zero is zero.
    return table.round(decimals) + 0.0 if -300 < decimals < 300 else table + 0.0
