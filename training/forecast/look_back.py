"""What steps see of a series, and how they look back into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic

from training.forecast.ops import Ops, T

# No season is longer; the buffer holds two of them.
WINDOW = 366
BUFFER = 2 * WINDOW
# What the buffer holds where nothing was observed, beyond every value that may be sent.
MISSING = 3e38
_PRESENT = 1e37
# Nothing is farther away than this many scales.
FARTHEST = 1e6


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """What the steps of one call see, ``[batch, time, k]``.

    ``told``: the ``anchor``, which is the median of the last three values and which forecasts start
    from; ``unit`` to multiply with (zero where nothing has varied), ``noise``, the error of the best
    forecast by rule so far in units of ``scale``; how wide a step is; ``scale`` to divide by; ``age``,
    and what else is counted; the two seasons; the errors of all rules, in scales; and what candidates are
    made of, in the series' unit: the last step and the differences to four averages of seasons, the state
    (levels, lines, slopes, growths, drifts) relative to the last value, that from the anchor, and the
    median of three growths from season to season. ``buffer`` ``[batch, 732 + time]`` and ``position`` in
    it; ``frequency`` is a row of the embedding. ``odd`` features change their sign with the series,
    ``even`` ones, side by side, do not.
    ``covariates`` are the columns behind those of the series, and ``passed``, of those known ahead,
    ``[batch, 366 + time, known]`` up to each step; see :mod:`training.forecast.beside`.
    """

    told: T
    position: T
    frequency: T
    buffer: T
    odd: T
    even: tuple[T, ...]
    covariates: T | None = None
    passed: T | None = None

    def with_covariates(self, covariates: T, passed: T | None) -> View[T]:
        return replace(self, covariates=covariates, passed=passed)


def middle(ops: Ops[T], x: T, y: T, z: T) -> T:
    """The median of three."""
    return ops.most(ops.least(x, y), ops.least(ops.most(x, y), z))


def squash(ops: Ops[T], x: T) -> T:
    """Nearly the identity up to 5, never beyond 10, from operations whose result is exact everywhere."""
    x = ops.bound(x, FARTHEST)
    tenth = x * 0.1
    return x / ops.sqrt(tenth * tenth + 1.0)


def look_back(ops: Ops[T], buffer: T, position: T, age: T, lags: T) -> tuple[T, T]:
    """Values so many steps before each position, and whether there are such."""
    found = ops.gather(buffer, position - ops.least(lags, float(BUFFER)))
    within = ops.above(ops.least(age, BUFFER + 1.0), lags)
    return found, within * ops.above(ops.constant(_PRESENT), found)
