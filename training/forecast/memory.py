"""What a forecaster remembers of a series besides its recurrent state, none of it learned.

A buffer of the last values, and exponentially forgetting sums from which come the levels of simple
exponential smoothing, the local lines of Brown's double exponential smoothing (Brown 1963), the level
of seasonal differences, and how well each of these forecast one step ahead so far. All are kept as
differences from the latest value, so that adding a constant to a series changes nothing here.

The unit of everything is a scale that one wild value cannot carry off: a mean of absolute differences
that is bounded by their power mean, which hardly feels a few huge ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from app.features import series as columns
from training.forecast.look_back import BUFFER, MISSING, View, look_back, middle, squash
from training.forecast.ops import Ops, T

Matrix = NDArray[np.float64]

# Variation below this part of the level is float32 noise.
RELATIVE_FLOOR = 3e-7
ABSOLUTE_FLOOR = 1e-30
# Ages are whole numbers of float32: beyond twice this, adding one would change nothing.
OLDEST = 2.0**23

# Forgetting of the levels, the last three of them also of lines; of growths from season to season; of the
# mean absolute steps, and of the errors of forecasts by rule.
LEVEL_DECAYS = (0.5, 0.8, 0.94, 1.0 - 1.0 / 512.0)
LINE_DECAYS = LEVEL_DECAYS[1:]
SEASONAL_DECAYS = (0.6, 0.93)
LONG, SHORT, ERROR_DECAY = LEVEL_DECAYS[-1], 0.9, 0.98

# Lags of a step in seasons: one, two, three short ones, one and two long ones. Four averages of them.
LAG_WEIGHTS = ((1, 0), (2, 0), (3, 0), (0, 1), (0, 2))
NUM_LAGS = len(LAG_WEIGHTS)
_AVERAGES = np.array([[1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]], np.float64).T
_SEASONS_BACK = np.array([[1, 2, 3, 1, 2]], np.float64).T

# What each forgetting sum adds up (a name of _ADDED, or nothing), and how it forgets.
_ADDED = (
    *("begun", "size", "swing", "stepped"),
    *(f"grown {index}" for index in range(4)),
    *("moving", "swinging", "root", "swing root", "step"),
    *(f"growth {index}" for index in range(4)),
)
_SUMS: dict[str, tuple[str, float]] = {
    **{f"weight {i}": ("begun", decay) for i, decay in enumerate(LEVEL_DECAYS)},
    **{f"age {i}": ("", decay) for i, decay in enumerate(LINE_DECAYS, start=1)},
    **{f"age square {i}": ("", decay) for i, decay in enumerate(LINE_DECAYS, start=1)},
    "short size": ("size", SHORT),
    "short stepped": ("stepped", SHORT),
    **{name: (name, LONG) for name in ("size", "stepped", "moving", "root")},
    "swing": ("swing", LONG),
    "turned": ("grown 0", LONG),
    **{name: (name, LONG) for name in ("swinging", "swing root")},
    "short step": ("step", LINE_DECAYS[0]),
    "step": ("step", LONG),
    **{f"growth {i} {d}": (f"growth {i}", SEASONAL_DECAYS[d]) for i in range(4) for d in range(2)},
    **{f"grown {i} {d}": (f"grown {i}", SEASONAL_DECAYS[d]) for i in range(4) for d in range(2)},
}
_MOMENTS = {
    **{f"moment {i}": decay for i, decay in enumerate(LEVEL_DECAYS)},
    **{f"age moment {i}": decay for i, decay in enumerate(LINE_DECAYS, start=1)},
}
_ALL = (*_SUMS, *_MOMENTS)
# Forecasts whose one-step errors are remembered: last value, level, three lines; the value of a season
# before, the same moved by its smoothed growth, the mean of three seasons moved so, and of the long one.
# Each with the mask of the steps where it counts.
_RULES = ("stepped",) * 5 + ("grown 0",) * 3 + ("grown 2",)
_NUM_RULES = len(_RULES)
_MASKS = ("stepped", "grown 0", "grown 1", "grown 2", "grown 3")

# Columns of the quotients: numerator, denominator (of _ALL, scaled and moved, or 1).
_Quotient = tuple[str, str, float, float]
_QUOTIENTS: tuple[_Quotient, ...] = (
    *((f"moment {i}", f"weight {i}", 1.0, 0.0) for i in range(4)),
    *((f"age {i}", f"weight {i}", 1.0, 0.0) for i in range(1, 4)),
    *((f"growth {i} {d}", f"grown {i} {d}", 1.0, 0.0) for i in range(4) for d in range(2)),
    # The weights of the steps are those of the values before them.
    ("short step", "weight 1", 1.0 / LINE_DECAYS[0], -1.0 / LINE_DECAYS[0]),
    ("step", "weight 3", 1.0 / LONG, -1.0 / LONG),
    ("size", "stepped", 1.0, 0.0),
    ("swing", "turned", 1.0, 0.0),
    ("moving", "stepped", 1.0, 0.0),
    ("swinging", "turned", 1.0, 0.0),
    ("root", "moving", 1.0, 0.0),
    ("swing root", "swinging", 1.0, 0.0),
    ("short size", "short stepped", 1.0, 0.0),
    ("turned", "", 1.0, 1.0),
)


def _chosen(rows: Sequence[str], columns: Sequence[str], factors: Sequence[float] | None = None) -> Matrix:
    """The matrix that puts ``columns`` of ``rows`` side by side, each times its factor; ``""`` is zero."""
    matrix = np.zeros((len(rows), len(columns)))
    for column, name in enumerate(columns):
        if name:
            matrix[rows.index(name), column] = 1.0 if factors is None else factors[column]
    return matrix


def _sums_matrix() -> Matrix:
    """Forgetting of the first sums; ``sum w j`` and ``sum w j^2`` over ages ``j`` feed on one another."""
    names, matrix = list(_SUMS), np.diag([decay for _, decay in _SUMS.values()])
    for line, decay in enumerate(LINE_DECAYS, start=1):
        weight, first, second = (names.index(f"{name} {line}") for name in ("weight", "age", "age square"))
        matrix[first, weight] = decay
        matrix[second, first] = 2.0 * decay
        matrix[second, weight] = decay
    return matrix


def _moments_matrix() -> Matrix:
    """Forgetting of ``sum w (y_s - y_t)`` and of ``sum w j (y_s - y_t)``, which feeds on the former."""
    names, matrix = list(_MOMENTS), np.diag(list(_MOMENTS.values()))
    for line, decay in enumerate(LINE_DECAYS, start=1):
        matrix[names.index(f"age moment {line}"), names.index(f"moment {line}")] = decay
    return matrix


def _falling() -> Matrix:
    """What a step upwards takes off the moments: the weights, and those times their ages, of before."""
    names, matrix = list(_SUMS), np.zeros((len(_SUMS), len(_MOMENTS)))
    for column, (name, decay) in enumerate(_MOMENTS.items()):
        index = name.split()[-1]
        matrix[names.index(f"weight {index}"), column] = -decay
        if name.startswith("age"):
            matrix[names.index(f"age {index}"), column] = -decay
    return matrix


# Features that the network reads: those that change their sign with the series, and the others.
NUM_ODD, NUM_EVEN = 23, 32

# Of the state of each step: levels, lines, slopes, growths, drifts.
_STATE = (4, 3, 3, 8, 2)
_NUM_STATE = sum(_STATE)


def _foreseen() -> Matrix:
    """From the state, what each rule forecast for the next step beyond the last value or season."""
    matrix = np.zeros((_NUM_STATE, _NUM_RULES))
    matrix[1, 1] = 1.0
    for line in range(3):
        matrix[4 + line, 2 + line] = matrix[7 + line, 2 + line] = 1.0
    matrix[10, 6] = matrix[12, 7] = matrix[14, 8] = 1.0
    return matrix


def _happened() -> Matrix:
    """From the step and the four averages' differences, what each rule's forecast is compared with."""
    matrix = np.zeros((5, _NUM_RULES))
    matrix[0, :5] = matrix[1, 5:7] = matrix[2, 7] = matrix[3, 8] = 1.0
    return matrix


def _features() -> Matrix:
    """From step, averages' differences, state and origin, what the network reads: 23 odd features."""
    matrix = np.zeros((5 + _NUM_STATE + 1, 23))
    for column, row in enumerate((0, 1, 2, 3, *range(5, 5 + 18), 5 + _NUM_STATE)):
        matrix[row, column] = 1.0
    # Slopes are the smaller the more steps they are found from.
    for line, factor in enumerate((3.0, 10.0, 30.0)):
        matrix[5 + 7 + line, 4 + 7 + line] = factor
    return matrix


def _divisors() -> Matrix:
    """What each odd feature is measured in: one-step differences, or seasonal ones.

    In a smooth seasonal series they lie orders of magnitude apart.
    """
    seasonal = np.zeros(23)
    seasonal[[1, 2, 3, *range(14, 22)]] = 1.0
    return np.stack([1.0 - seasonal, seasonal])


def _operands() -> Matrix:
    """From all sums, what is divided, what it is divided by, and four sums of each line."""
    above, below, factors, _ = zip(*_QUOTIENTS, strict=True)
    lines = [f"{name} {i}" for name in ("moment", "age moment", "age square", "age") for i in (1, 2, 3)]
    return np.hstack([_chosen(_ALL, above), _chosen(_ALL, below, factors), _chosen(_ALL, lines)])


def _errors_taken(columns: Sequence[str]) -> Matrix:
    rows = (*(f"rule {i}" for i in range(_NUM_RULES)), *_MASKS)
    return _chosen(rows, columns).T


_RULE_NAMES = tuple(f"rule {i}" for i in range(_NUM_RULES))
_COUNTS = ("stepped", "grown 0", "grown 2")
# When a calendar is read: hour and weekday after two short seasons, the time of the year after two long ones.
_SETTLED = np.repeat(np.eye(2), (columns.NUM_COLUMNS - columns.HAS_TIME - 2, 2), axis=1)
# The first average is of one season, which lies as many seasons back as it has values.
_MOVED_BACK = np.zeros((4, _NUM_RULES))
_MOVED_BACK[0], _MOVED_BACK[:2, 7] = 1.0, (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Memory(Generic[T]):
    """The carried part, each ``[batch, size]``.

    ``past`` are the last values; ``age`` counts steps since the first observation; ``recent`` are the
    last two values and the last two growths of the mean of three seasons, older ones first; the others
    are forgetting sums.
    """

    past: T
    age: T
    recent: T
    sums: T
    moments: T
    errors: T

    @staticmethod
    def sizes() -> dict[str, int]:
        """Size of each part by name, in row order."""
        sizes = (BUFFER, 1, 4, len(_SUMS), len(_MOMENTS), _NUM_RULES + len(_COUNTS))
        return dict(zip((field.name for field in fields(Memory)), sizes, strict=True))


# Columns of ``View.told``: see there.
TOLD = (1, 1, 1, 1, 1, 1, 2, 2, _NUM_RULES, 5 + _NUM_STATE + 2)


def observe(ops: Ops[T], x: T, memory: Memory[T]) -> tuple[View[T], tuple[T, T]]:
    """Take in steps ``x`` ``[batch, time, 12]``.

    Returns:
        What each step sees, and what is remembered after the last: ``past``, and the other parts of
        :class:`Memory` side by side.
    """
    value, seen, frequency, seasons, timing = ops.split(x, [1, 1, 1, 2, columns.NUM_COLUMNS - 5])
    earliest, before_last, *growths_before = ops.split(ops.axis(memory.recent, 1), [1] * 4)
    last, number_seen = ops.latest(before_last, value, seen)
    age_before = ops.axis(memory.age, 1)
    begun = ops.least(number_seen + age_before, 1.0)
    age = ops.least(ops.count(begun) + age_before, OLDEST)
    hidden = value * seen + (seen * -MISSING + MISSING)
    buffer = ops.concat([memory.past, ops.flat(hidden)])
    position = ops.count(ops.most(seen, 1.0)) + (BUFFER - 1.0)

    # The values before, as if a series had always been what it was first.
    joined = ops.concat([earliest, before_last, last], 1)
    later = ops.above(age, 1.0)
    step = (last - ops.cut(joined, 1, -1)) * later
    previous = last - step
    earlier = previous - (previous - ops.cut(joined, 0, -2)) * ops.above(age, 2.0)
    origin = last - middle(ops, last, previous, earlier)

    lags = seasons @ ops.constant(np.array(LAG_WEIGHTS, np.float64).T)
    before, found = look_back(ops, buffer, position, age, lags)
    # Of a step that was not seen, the last value is of another phase.
    here = found * seen
    apart = (last - before) * here
    number = here @ ops.constant(_AVERAGES)
    grown = ops.least(number, 1.0)
    number = ops.most(number, 1.0)
    back = ops.most(here @ ops.constant(_AVERAGES * _SEASONS_BACK), 1.0)
    total = apart @ ops.constant(_AVERAGES)
    growth = total / back

    # The first average is of one season alone.
    change = ops.concat([step, total / number])
    counted = ops.concat([later * seen, grown])
    masks = ops.part(counted, 0, 2)
    sizes = ops.abs(ops.part(change, 0, 2)) * masks
    roots = ops.sqrt(ops.sqrt(ops.sqrt(sizes)))
    added = [begun, sizes, counted, ops.above(sizes, 0.0), roots, step, growth]
    adding = _chosen(_ADDED, [name for name, _ in _SUMS.values()]).T
    sums = ops.scan(ops.concat(added), adding, _SUMS_MATRIX, memory.sums)
    sums = ops.concat([ops.axis(memory.sums, 1), sums], 1)
    falling = (ops.cut(sums, 0, -1) @ ops.constant(_FALLING)) * step
    moments = ops.scan(falling, np.eye(len(_MOMENTS)), _MOMENTS_MATRIX, memory.moments)
    moments = ops.concat([ops.axis(memory.moments, 1), moments], 1)

    summed = ops.concat([sums, moments])
    chosen = summed @ ops.constant(_OPERANDS)
    parts, wholes, zeroth, first, squares, ages = ops.split(chosen, [len(_QUOTIENTS)] * 2 + [3] * 4)
    quotients = parts / ops.most(wholes + ops.constant(_MOVED), 1e-9)
    nearest, levels, mean_ages, growths, means = ops.split(quotients, [1, 3, 3, 10, 8])
    slopes = (mean_ages * zeroth - first) / ops.most(squares - ages * mean_ages, 1e-3)
    states = ops.concat([nearest, levels, levels + slopes * mean_ages, slopes, growths])
    state = ops.cut(states, 1, None)

    # Errors of what was forecast for this step one step before.
    # Where no season was found, nothing is counted.
    back_then = (back / number) @ ops.constant(_MOVED_BACK)
    foreseen = (ops.cut(states, 0, -1) @ ops.constant(_foreseen())) * back_then
    counts = counted @ ops.constant(_chosen(_MASKS, _RULES))
    missed = ops.abs(change @ ops.constant(_happened()) - foreseen) * counts
    taken = _errors_taken((*_RULE_NAMES, *_COUNTS))
    forget = np.eye(len(taken)) * ERROR_DECAY
    errors = ops.scan(ops.concat([missed, counted]), taken, forget, memory.errors)

    mean, share, root, short, swing_count = ops.split(ops.cut(means, 1, None), [2, 2, 2, 1, 1])
    # A mean of absolute differences, and what their power mean allows it to be: a normal variable needs
    # 1.3 of those, and a wild value hardly raises it.
    square = root * root
    fourth = square * square
    single, swing = ops.split(ops.least(mean, fourth * fourth * share * 2.0), [1, 1])
    recent = ops.least(short, single * 4.0)
    plain = ops.most(single, recent)
    # A trend moves a series from season to season, but is no reason to expect less of a forecast.
    varying = (ops.least(swing, plain) * swing_count + plain * 3.0) / (swing_count + 3.0)
    floor = ops.most(ops.abs(last) * RELATIVE_FLOOR, ABSOLUTE_FLOOR)
    scale = ops.most(varying, floor)
    unit = varying * ops.above(varying, floor)
    wide = ops.most(plain, scale)
    missed, counts = ops.split(errors, [_NUM_RULES, len(_COUNTS)])
    expected = (missed + scale * 2.0) / (counts @ ops.constant(_chosen(_COUNTS, _RULES)) + 2.0)
    expected = expected / scale
    noise = ops.least(ops.smallest(expected), 2.0)

    latest = ops.part(growth, 1, 2)
    settling = ops.concat([*growths_before, latest], 1)
    settled = middle(ops, latest, ops.cut(settling, 1, -1), ops.cut(settling, 0, -2))
    read = ops.concat([change, state, origin])
    odd = read @ ops.constant(_features())
    numbers = ops.concat([age, age, swing_count, seasons])
    variations = ops.concat([single, recent, swing])
    even = (
        expected / (expected + 1.0),
        variations / ops.most(variations + plain, ABSOLUTE_FLOOR),
        ops.part(share, 0, 1),
        found,
        numbers / (numbers + ops.constant((8.0, 64.0, 16.0, 12.0, 48.0))),
        noise,
        seen,
        timing * (ops.above(age, seasons * 2.0) @ ops.constant(_SETTLED)),
    )
    widths = ops.concat([wide, scale])
    told = ops.concat([last - origin, unit, noise, widths, numbers, expected, read, settled])
    divisors = widths @ ops.constant(_divisors())
    view = View(told, position, frequency, buffer, squash(ops, odd / divisors), even)
    recent = ops.axis(ops.flat(ops.concat([ops.cut(joined, -2, None), ops.cut(settling, -2, None)], 1)), 1)
    age, summed, errors = (ops.cut(each, -1, None) for each in (age, summed, errors))
    after = ops.flat(ops.concat([age, recent, summed, errors]))
    return view, (ops.cut(buffer, -BUFFER, None), after)


_SUMS_MATRIX, _MOMENTS_MATRIX, _FALLING = _sums_matrix(), _moments_matrix(), _falling()
_OPERANDS, _MOVED = _operands(), np.array([moved for *_, moved in _QUOTIENTS])
