"""How rare a surprise is in its own series: the tail of the scores so far, as peaks over a threshold.

A forecaster's intervals are not as honest on every series as they were where it was trained: scores of calm
series have heavier or lighter tails than those of a normal distribution. So a score is judged by the ones
before it: beyond their 98 % quantile the tail is taken as exponential (Siffer et al. 2017, SPOT, with the
shape of the tail fixed and its scale from the median of the excesses, which single anomalies do not move).

Before a series has said much, the scores are taken as those of honest intervals: a hundred of them, spread
as a normal distribution's, count as its first.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TAIL = 0.02
_PRIOR = 100
# Scores that are remembered, and how many new ones, in shares of those, change the tail.
_WINDOW = 8000
_EVERY = 0.02
_LEAST_EVERY = 20
# A tail is never thinner than these: constant series have scores that hardly vary.
_LEAST_SCALE = 0.3
_LEAST_RELATIVE_SCALE = 0.2


def honest_scores(num: int) -> Array:
    """Magnitudes of normal scores, evenly spread."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(0.5 + (place + 0.5) / num / 2) for place in range(num)])


_HONEST = honest_scores(_PRIOR)


class Rarity:
    """Of one series, fed in order in parts of any size; what it says does not depend on the parts."""

    def __init__(self) -> None:
        self._scores = _HONEST
        self._new: list[float] = []
        self._fit()

    def probabilities(self, scores: Array) -> Array:
        """How probable a score as high was on this series, ``[time]``; NaN for one that is not known."""
        found = np.full(len(scores), np.nan)
        known = np.flatnonzero(~np.isnan(scores))
        done = 0
        while done < len(known):
            # As many as the tail is good for.
            part = known[done : done + self._due - len(self._new)]
            found[part] = self._judged(scores[part])
            self._new += scores[part].tolist()
            done += len(part)
            if len(self._new) == self._due:
                self._scores = np.concatenate([self._scores, self._new])[-_WINDOW:]
                self._new = []
                self._fit()
        return found

    def _fit(self) -> None:
        self._sorted = np.sort(self._scores)
        num = len(self._sorted)
        beyond = max(int(_TAIL * num), 1)
        self._edge = float(self._sorted[num - beyond - 1])
        # The median of the excesses; of an even number the greater of the two.
        excess = float(self._sorted[num - (beyond + 1) // 2]) - self._edge
        self._scale = max(excess / math.log(2), _LEAST_SCALE, _LEAST_RELATIVE_SCALE * self._edge)
        self._due = max(_LEAST_EVERY, int(_EVERY * num))

    def _judged(self, scores: Array) -> Array:
        tail = _TAIL * np.exp(-np.maximum(scores - self._edge, 0.0) / self._scale)
        common = 1 - np.searchsorted(self._sorted, scores) / len(self._sorted)
        judged: Array = np.where(scores > self._edge, tail, np.maximum(common, _TAIL))
        return judged
