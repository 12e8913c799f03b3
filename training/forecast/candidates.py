"""Forecasts by rule that a forecaster's head mixes, for every horizon.

The last value and the median of three; the value of one season before and the mean and median of
three, of the short and of the long season, as they were and moved by their smoothed growth; smoothed
levels, local lines, Theta's level with half the slope (Assimakopoulos & Nikolopoulos 2000), drift, and a
parabola. A straight line, a constant and an exact period are each continued by several of them without
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np

from training.forecast.look_back import FARTHEST, look_back, middle, squash
from training.forecast.memory import LINE_DECAYS, NUM_LAGS, TOLD
from training.forecast.ops import Matrix, Ops, T

# Seasonal values: short one, mean and median of three short ones, long one, mean of two long ones.
_S1, _S3, _MIDDLE, _L1, _L2 = range(5)
# Growths: the latest, and smoothed over fewer and over more seasons.
_GROWTHS = (
    "S1 moved", "S1 fast", "S1 slow", "S3 fast", "S3 slow", "S3 middle", "L1 fast", "L2 fast", "L2 slow",
)  # fmt: skip
# Places: the last value, four levels, three lines.
_MIXED: tuple[tuple[dict[int, float], dict[str, float], dict[int, float], dict[int, float]], ...] = (
    # seasonal values, growths, places, slopes (three of lines, two drifts) for each step ahead
    ({}, {}, {0: 1.0}, {}),
    ({}, {}, {}, {}),
    ({_S1: 1.0}, {}, {}, {}),
    ({_S1: 1.0}, {"S1 moved": 1.0}, {}, {}),
    ({_S1: 1.0}, {"S1 fast": 1.0}, {}, {}),
    ({_S1: 1.0}, {"S1 slow": 1.0}, {}, {}),
    ({_S3: 1.0}, {}, {}, {}),
    ({_S3: 1.0}, {"S3 fast": 1.0}, {}, {}),
    ({_S3: 1.0}, {"S3 slow": 1.0}, {}, {}),
    ({_S3: 1.0}, {"S3 fast": 1.0}, {}, {2: -1.0}),
    ({_MIDDLE: 1.0}, {"S3 middle": 1.0}, {}, {}),
    ({_L1: 1.0}, {}, {}, {}),
    ({_L1: 1.0}, {"L1 fast": 1.0}, {}, {}),
    ({_L2: 1.0}, {}, {}, {}),
    ({_L2: 1.0}, {"L2 fast": 1.0}, {}, {}),
    ({_L2: 1.0}, {"L2 slow": 1.0}, {}, {}),
    ({}, {}, {1: 1.0}, {}),
    ({}, {}, {2: 1.0}, {}),
    ({}, {}, {3: 1.0}, {}),
    ({}, {}, {4: 1.0}, {}),
    ({}, {}, {5: 1.0}, {0: 1.0}),
    ({}, {}, {6: 1.0}, {1: 1.0}),
    ({}, {}, {7: 1.0}, {2: 1.0}),
    ({}, {}, {1: 1.0}, {2: 0.5}),
    ({}, {}, {2: 1.0}, {2: 0.5}),
    ({}, {}, {0: 1.0}, {3: 1.0}),
    ({}, {}, {0: 1.0}, {4: 1.0}),
)
# Those, and a parabola.
NUM_CANDIDATES = len(_MIXED) + 1
NUM_KNOWN = NUM_CANDIDATES + NUM_LAGS
SEASONAL_NAIVE, PARABOLA = 2, len(_MIXED)
# How far from the anchor a candidate may lie, in steps' widths: a base, and more for each step ahead.
_REACH, _REACH_A_STEP = 10.0, 3.0
# How many times as much as seen a parabola bends: see _mixing.
_BENT = 3.0
# A series begins to be settled after so many observations, and is after twice as many.
SETTLING = 40


@dataclass(frozen=True, slots=True)
class Candidates(Generic[T]):
    """``[batch, num, horizon, 1, k]``, the horizon 1 where it makes no difference.

    ``values`` from the ``anchor`` in scales; which lags were ``found``; how much each value is in ``doubt``,
    to be taken off its logit; how many scales a step is ``wide``; ``unit``, ``noise`` and ``age`` as in
    :class:`training.forecast.look_back.View`.
    """

    values: T
    found: T
    doubt: T
    anchor: T
    scale: T
    wide: T
    unit: T
    noise: T
    age: T


_NEAREST = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]], np.float64)
_FURTHER = np.array([[0, 1, 2, 0, 0], [0, 0, 0, 0, 1]], np.float64)
_NUM_MADE_OF = TOLD[-1]
# Of what candidates are made of: where the last value, the state, and the latest and smoothed growths are.
_LAST, _STATE = 25, 5
_GROWN = (1, *(_STATE + index for index in (10, 11, 12, 13)), 26, *(_STATE + index for index in (14, 16, 17)))
_PLACES = (_LAST, *range(_STATE, _STATE + 7))
_SLOPES = tuple(_STATE + index for index in (7, 8, 9, 18, 19))


def _mixing() -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Candidates from seasonal values and growths; from the origin their levels, slopes and bends.

    The parabola is one that two lines see: with weights ``d^j`` of the value ``j`` steps ago and
    ``m = d / (1 - d)``, the line through ``c t^2 / 2`` rises by ``c (1 + 4 m) / 2`` too little and lies
    ``c m^2`` too low (moments of the geometric distribution). So their slopes tell ``c``, or a part of it
    where there is little to forget yet, or where growth grows. It bends as many times as much as that, so
    that between it and the line of the same place lies whatever may be.
    """
    changing = np.zeros((5 + len(_GROWTHS), NUM_CANDIDATES))
    levels, slopes, bends = np.zeros((3, _NUM_MADE_OF, NUM_CANDIDATES))
    for column, (seasons, growths, places, rises) in enumerate(_MIXED):
        for row, weight in seasons.items():
            changing[row, column] = weight
        for name, weight in growths.items():
            changing[5 + _GROWTHS.index(name), column] = weight
        for row, weight in places.items():
            levels[_PLACES[row], column] = weight
            # Levels are known from the last value, not from the anchor.
            levels[_LAST, column] = weight
        for row, weight in rises.items():
            slopes[_SLOPES[row], column] = weight
    faster, slower = (decay / (1.0 - decay) for decay in LINE_DECAYS[:2])
    bend = np.array([1.0, -1.0]) * _BENT / (2.0 * (slower - faster))
    levels[[_LAST, _PLACES[5]], PARABOLA] = slopes[_SLOPES[0], PARABOLA] = 1.0
    levels[_SLOPES[:2], PARABOLA] = bend * faster**2
    slopes[_SLOPES[:2], PARABOLA] += bend * (1.0 + 4.0 * faster) / 2.0
    bends[_SLOPES[:2], PARABOLA] = bend / 2.0
    return changing, levels, slopes, bends


_CHANGING, *_PLACED = _mixing()
_MADE = np.hstack([np.eye(_NUM_MADE_OF)[:, _GROWN], *_PLACED])
# Which rule's remembered error speaks for each candidate: see training.forecast.memory. Where a rule has been
# so many times worse than the best one as is hard to bear, what it says is in doubt: a line goes on, and
# a period repeats, however much weight the network would give the others.
_RULE_OF = (0, 0, 5, 6, 6, 6, 5, 7, 7, 1, 7, 5, 8, 5, 8, 8, 1, 1, 1, 1, 2, 3, 4, 1, 1, 2, 4, 2)
_JUDGED = np.eye(9)[:, _RULE_OF]
_BEARABLE, _DOUBT = 8.0, 4.0
# So many steps' widths from the median of three seasons, a seasonal value is more likely an outlier. Which
# candidates build on the nearest value, the mean of three, and, where it stands in for a long season, on it.
_BUILT_ON = np.zeros((4, NUM_CANDIDATES))
_BUILT_ON[0, 2:6] = _BUILT_ON[1, 6:10] = _BUILT_ON[2, 11:13] = _BUILT_ON[3, 13:16] = 1.0


def candidates(ops: Ops[T], told: T, position: T, buffer: T, horizon: int) -> Candidates[T]:
    """The candidates of every origin.

    Args:
        told, position: of the origins, ``[batch, num, 1, 1, k]``; see
            :class:`training.forecast.look_back.View`.
        buffer: ``[batch, length]``.
        horizon: how many steps ahead.
    """
    ahead = np.arange(1.0, horizon + 1)[:, None, None]
    far = ops.constant(ahead)
    anchor, unit, noise, width, scale, age, _, seasons, errors, made_of = ops.split(told, TOLD)
    wide = width / scale
    rounds = ops.ceil(far / seasons)
    # Steps from the nearest value of the horizon's phase to the origin, and on to those before it.
    nearest = rounds * seasons - far
    lags = nearest @ ops.constant(_NEAREST) + seasons @ ops.constant(_FURTHER)
    values, found = look_back(ops, buffer, position, age, lags)
    moves = ops.bound((values - anchor) / scale, FARTHEST) * found
    back = rounds @ ops.constant(_NEAREST) + ops.constant(_FURTHER.sum(0))
    made_of = ops.bound(made_of / scale, FARTHEST)
    last = ops.part(made_of, _LAST, _LAST + 1)

    number = found @ ops.constant(np.hstack([_NEAREST.T, _NEAREST.T]))
    both = ops.concat([moves, found * back]) @ ops.constant(np.kron(np.eye(2), _NEAREST.T))
    m3, m2, b3, b2 = ops.split(both / ops.most(number, 1.0), [1] * 4)
    lacking = ops.least(ops.concat([found, number]), 1.0) * -1.0 + 1.0
    lacking1, _, lacking_long, _, none3, none2, _ = ops.split(lacking, [1, 2, 1, 1, 1, 1, 2])
    f1, f2, f3, fm, _ = ops.split(found, [1] * 5)
    v1, v2, v3, vm, _ = ops.split(moves, [1] * 5)
    q1, qm = ops.split(rounds, [1, 1])
    m3 = m3 + none3 * last
    first, first_back = v1 + lacking1 * m3, f1 * q1 + lacking1 * b3
    whole = f1 * f2 * f3
    median = m3 + (middle(ops, v1, v2, v3) - m3) * whole
    long, long_back = vm + lacking_long * first, fm * qm
    m2 = m2 + none2 * long

    backs = [first_back, first_back, first_back, b3, b3, b3, long_back, b2, b2]
    growths, *placed = ops.split(made_of @ ops.constant(_MADE), [len(_GROWN)] + [NUM_CANDIDATES] * 3)
    levels, rises, bends = placed
    mixed = ops.concat([first, m3, median, long, m2, ops.concat(backs) * growths]) @ ops.constant(_CHANGING)
    mixed = mixed + levels + (rises + bends * far) * far
    reach = ops.constant(_REACH + _REACH_A_STEP * ahead) * wide
    mixed = ops.most(ops.least(mixed, reach), reach * -1.0)
    ratio = (errors @ ops.constant(_JUDGED)) / noise
    strange = ops.abs(ops.concat([first, m3]) - median) * whole / wide
    standing_in = ops.part(strange, 0, 1) * ops.concat([lacking_long, none2])
    strange = ops.concat([strange, standing_in])
    doubt = ops.most(ratio * (_DOUBT / _BEARABLE) + -_DOUBT, 0.0)
    doubt = doubt + ops.most(strange * (_DOUBT / _BEARABLE) + -_DOUBT, 0.0) @ ops.constant(_BUILT_ON)
    return Candidates(mixed, found, doubt, anchor, scale, wide, unit, noise, age)


# All but the seasonal naive forecast are told as differences from it.
_DIFFERENCES = np.delete(
    np.eye(NUM_CANDIDATES) - np.outer(np.eye(NUM_CANDIDATES)[SEASONAL_NAIVE], np.ones(NUM_CANDIDATES)),
    SEASONAL_NAIVE,
    axis=1,
)


def known(ops: Ops[T], found: Candidates[T]) -> T:
    """What the head is told of each horizon, besides which seasons there were: where the candidates lie."""
    naive = ops.part(found.values, SEASONAL_NAIVE, SEASONAL_NAIVE + 1)
    others = found.values @ ops.constant(_DIFFERENCES)
    return squash(ops, ops.concat([naive / found.wide, others]))
