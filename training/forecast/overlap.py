"""Which series are copies of benchmark series, whatever their unit, level, rounding or extent.

Windows of differences, divided by the largest of each, are compared after rounding; where two agree,
the whole stretch that the series would share is compared by a linear fit. Straight lines resemble one
another, so a stretch that is nearly one proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_WINDOW = 8
_STEPS = 50.0
# A shared stretch must have so many values, be fitted to this part of its spread, and not be a line.
_SHORTEST = 10
_CLOSE = 0.01
_STRAIGHT = 0.05
_MOST_TRIED = 20


class Overlap:
    """Finds copies of ``benchmark`` series.

    Args:
        benchmark: values of each series, without gaps.
    """

    def __init__(self, benchmark: Sequence[Array]) -> None:
        self._benchmark = [np.asarray(values, np.float64) for values in benchmark]
        keys, places = [], []
        for index, values in enumerate(self._benchmark):
            offsets, found = _keys(values)
            keys.append(found)
            places += [(index, int(offset)) for offset in offsets]
        joined = np.concatenate(keys) if keys else np.empty(0, "V7")
        order = np.argsort(joined, kind="stable")
        self._keys, self._places = joined[order], [places[i] for i in order]

    def has(self, values: Array) -> bool:
        """Whether ``values`` (NaN where missing) shares a stretch with a benchmark series."""
        offsets, keys = _keys(np.asarray(values, np.float64))
        left, right = np.searchsorted(self._keys, keys), np.searchsorted(self._keys, keys, side="right")
        for place in np.flatnonzero(right > left):
            for match in range(left[place], min(right[place], left[place] + _MOST_TRIED)):
                index, offset = self._places[match]
                if _same(values, self._benchmark[index], int(offsets[place]) - offset):
                    return True
        return False


def _keys(values: Array) -> tuple[NDArray[np.int64], NDArray[np.bytes_]]:
    """Offsets of the windows that can be told from others, and the rounded shape of each."""
    if len(values) <= _WINDOW:
        return np.empty(0, np.int64), np.empty(0, f"S{_WINDOW}")
    windows = np.lib.stride_tricks.sliding_window_view(np.diff(values), _WINDOW)
    largest = np.abs(windows).max(axis=1)
    usable = np.isfinite(largest) & (largest > 0)
    offsets = np.flatnonzero(usable)
    shapes = windows[offsets] / largest[offsets, None]
    # A mirrored copy is none that anyone publishes, so the sign may stay.
    rounded = np.round(shapes * _STEPS).astype(np.int16) + 100
    different = (np.ptp(rounded, axis=1) > 10) & ((rounded != 100).sum(axis=1) > 2)
    bytes_ = np.ascontiguousarray(rounded[different].astype(np.uint8))
    return offsets[different], bytes_.view(f"S{_WINDOW}").ravel()


def _same(values: Array, other: Array, shift: int) -> bool:
    """Whether ``values[shift + i]`` is ``other[i]`` up to unit and level, wherever both are."""
    begin, end = max(0, shift), min(len(values), shift + len(other))
    ours, theirs = values[begin:end], other[begin - shift : end - shift]
    known = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[known], theirs[known]
    if len(ours) < _SHORTEST or not np.ptp(ours) > 0 or not np.ptp(theirs) > 0:
        return False
    time = np.arange(len(ours), dtype=np.float64)
    return _unexplained(ours, theirs) < _CLOSE and _unexplained(ours, time) > _STRAIGHT


def _unexplained(values: Array, by: Array) -> float:
    """Root of the part of the variance of ``values`` that a linear function of ``by`` leaves."""
    correlation = float(np.corrcoef(values, by)[0, 1])
    return float(np.sqrt(max(0.0, 1.0 - correlation**2))) if np.isfinite(correlation) else 1.0
