"""Where in a sound its labels are said, as far as its level tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

Place = tuple[int, int, tuple[int, ...]]
"""First frame, the frame behind the last, and the labels between."""
_SMOOTH = 5
_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of the way from the noise to the loudest frame."""
_NOISE = 5.0
"""Percentile of levels."""
_PAUSE, _SHORTEST = 8, 6
"""Frames of the shortest pause between words, and of the shortest word."""
_FLOOR = 1e-9


def places(powers: NDArray[np.float32], labels: tuple[int, ...]) -> tuple[Place, ...]:
    """Each label in a stretch of its own where there are as many, else all between the first and the last."""
    levels = np.log(uniform_filter1d(powers.sum(axis=1), _SMOOTH) + _FLOOR)
    noise, loudest = np.percentile(levels, _NOISE), levels.max()
    for share in _LEVELS:
        found = _stretches(levels >= noise + share * (loudest - noise))
        if len(found) == len(labels):
            return tuple((first, last, (label,)) for (first, last), label in zip(found, labels, strict=True))
    loud = np.flatnonzero(levels >= noise + _LEVELS[0] * (loudest - noise))
    return ((int(loud[0]), int(loud[-1]) + 1, labels),)


def _stretches(loud: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Loud frames, over short pauses; what is short alone is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for first, last in edges.reshape(-1, 2).tolist():
        if found and first - found[-1][1] < _PAUSE:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return [(first, last) for first, last in found if last - first >= _SHORTEST]
