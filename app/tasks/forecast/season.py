"""The season of a series whose frequency nobody told, from its values alone.

    values --last ones, gaps bridged, logarithm where they grow manifold, straight line taken out--> residuals
    residuals ------------------------------------> autocorrelation, against that of a smooth series
    residuals --first-order autoregression out----> autocorrelation, against that of white noise

A lag is a season where the autocorrelation has a peak that rises above its surroundings, the lags from a half
to one and a half of it, by more than chance would lift any of them. The second test sees seasons in series
that wander, and does not take a random walk for one; the first sees long, smooth seasons, which the second
takes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_VALUES = 8
# Of the longest season: what lies further back costs time and says little of the present.
_MOST_CYCLES = 8
_LEAST_CYCLES = 2.25
_LEAST_CORRELATION = 0.2
# Seasons that people's series have: quarters and days of a week, months, hours; then rarer ones. They need
# less evidence than any other lag, of which there are hundreds to go wrong with.
_COMMON = (4, 7, 12, 24)
_KNOWN = (*_COMMON, 5, 48, 52, 96, 144, 168, 288, 336, 364)
# Standard errors above the surroundings that a common, a known and any other lag needs.
_AGAINST_NOISE = (2.4, 3.0, 4.5)
_AGAINST_SMOOTH = (1.9, 2.3, 2.7)
# A peak this near to a known season, as a part of it, and no higher than this, is that season.
_NEAR = 0.04
_NO_HIGHER = 0.05
# Two correlations nearer than this, as a part of the higher one, or than two standard errors, are alike.
_ALIKE = 0.15
# Values that grow by more than this factor are taken as growing by percentages.
_MANIFOLD = 8.0
_TINY = 1e-9


def find_season(
    values: Array, longest: int, long_seasons: Iterable[tuple[int, int]] = ()
) -> tuple[int, int] | None:
    """Season and long season of values ``[time]``, NaN where missing; ``None`` where there is none.

    Args:
        longest: the greatest season that is looked for, in steps.
        long_seasons: pairs of a season and a longer one that usually goes with it, such as (24, 168). Where
            there is none for the season found, the long one is the same.
    """
    residuals = _residuals(values[-_MOST_CYCLES * max(longest, 100) :])
    if residuals is None:
        return None
    top = min(longest, int((len(residuals) - 1) / _LEAST_CYCLES))
    if top < 2:
        return None
    whitened = _whitened(residuals)
    if not whitened.any():
        return None
    tables = _tables(top)
    smooth = _evidence(_clipped(residuals), tables, _AGAINST_SMOOTH, smooth=True)
    white = _evidence(_clipped(whitened), tables, _AGAINST_NOISE, smooth=False)
    correlation, evidence = max(smooth, white, key=lambda test: float(test[1].max()))
    found = evidence >= 1.0
    if not found.any():
        return None
    best = correlation[found].max()
    alike = best - np.maximum(_ALIKE * best, 2.0 / np.sqrt(len(residuals) - tables.lags))
    season = int(tables.lags[found & (correlation >= alike)][0])
    pairs = sorted(long_seasons)
    for short, long in pairs:
        if season == long and short <= top and found[short - 2]:
            return short, long
    return season, next((long for short, long in pairs if short == season and long <= longest), season)


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """What depends on the longest lag alone: ``lags`` 2 .. top, their surroundings, and the known ones."""

    lags: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    kinds: NDArray[np.int64]
    known: tuple[tuple[int, slice], ...]


@lru_cache(maxsize=512)
def _tables(top: int) -> _Tables:
    lags = np.arange(2, top + 1)
    kinds = np.full(len(lags), 2)
    known = []
    for season in sorted(_KNOWN):
        if season <= top:
            kinds[season - 2] = 0 if season in _COMMON else 1
            reach = max(1, int(_NEAR * season))
            known.append((season - 2, slice(max(season - 2 - reach, 0), season - 1 + reach)))
    return _Tables(lags, lags // 2 + 1, np.maximum((3 * lags + 1) // 2 - 1, lags + 1), kinds, tuple(known))


def _residuals(values: Array) -> Array | None:
    """What a straight line leaves over, from the first observation to the last; ``None`` where nothing is."""
    observed = np.flatnonzero(~np.isnan(values))
    if len(observed) < MIN_VALUES:
        return None
    known = values[observed]
    low, high = known.min(), known.max()
    largest = max(abs(low), abs(high))
    if high - low <= _TINY * largest:
        return None
    known = np.log(known) if 0 < low < high / _MANIFOLD else known / largest
    if len(observed) <= observed[-1] - observed[0]:
        known = np.interp(np.arange(observed[0], observed[-1] + 1), observed, known)
    residuals = _without_line(known)
    return residuals if float(np.abs(residuals).max()) > _TINY else None


def _without_line(values: Array) -> Array:
    time = np.arange(len(values)) - (len(values) - 1) / 2
    centred = values - values.mean()
    residuals: Array = centred - time * (time @ centred / (time @ time))
    return residuals


def _whitened(residuals: Array) -> Array:
    """The innovations of a first-order autoregression."""
    kept = min(max(float(residuals[1:] @ residuals[:-1] / (residuals @ residuals)), 0.0), 1.0)
    innovations = _without_line(residuals[1:] - kept * residuals[:-1])
    return innovations if float(np.abs(innovations).max()) > _TINY else np.zeros_like(innovations)


def _clipped(values: Array) -> Array:
    """Single values far outside say nothing of a season, and would hide it."""
    for _ in range(4):
        most = 3.0 * float(np.sqrt(values @ values / len(values)))
        values = values.clip(-most, most)
    return values


def _evidence(
    values: Array, tables: _Tables, needed: tuple[float, float, float], *, smooth: bool
) -> tuple[Array, Array]:
    """Of each lag its autocorrelation, and its height above the surroundings over the height that is needed.

    The standard error is Bartlett's where the series is ``smooth``, else that of white noise; fewer values
    count where few large ones make up most of the variance.
    """
    lags, count = tables.lags, len(values)
    last = min(count - 1, int(tables.high[-1]))
    correlation = _autocorrelation(values, last)
    sums = np.concatenate([[0.0], correlation.cumsum()])
    high = np.minimum(tables.high, last)
    around = (sums[high + 1] - sums[tables.low]) / (high - tables.low + 1)
    squares = values * values
    share = min(1.0, 3.0 * float(squares.sum()) ** 2 / (count * float(squares @ squares)))
    variance = 1.0 / ((count - lags) * share)
    if smooth:
        variance *= 1.0 + 2.0 * (np.cumsum(correlation[1:] ** 2)[lags - 2])
    found = correlation[lags]
    peak = (found >= correlation[lags - 1]) & (found >= correlation[np.minimum(lags + 1, last)])
    evidence = (found - around) / (np.sqrt(variance) * np.take(needed, tables.kinds))
    evidence[found < _LEAST_CORRELATION] = 0.0
    here = np.where(peak, evidence, 0.0)
    for place, near in tables.known:
        if evidence[place] >= 1.0 and here[near].any() and found[place] >= found[near].max() - _NO_HIGHER:
            here[near] = 0.0
            here[place] = evidence[place]
    return found, here


def _autocorrelation(values: Array, last: int) -> Array:
    """Of lags 0 .. ``last``, each over the values that it pairs."""
    count = len(values)
    spectrum = np.fft.rfft(values, 1 << (count + last).bit_length())
    products = np.fft.irfft(spectrum * spectrum.conj())[: last + 1]
    energy = np.concatenate([[0.0], np.cumsum(values * values)])
    lags = np.arange(last + 1)
    paired = energy[count - lags] * (energy[count] - energy[lags])
    correlation: Array = products / np.sqrt(np.maximum(paired, np.finfo(float).tiny))
    return correlation
