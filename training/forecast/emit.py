"""The forecaster as ONNX nodes: the same computation as ``training.forecast.net``, step by step.

Only operations whose value at one element does not depend on where the element lies in the
tensor are used (``Softmax`` and ``MatMul`` work row by row), so that a sequence gets the same
bits in any batch and any chunking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from app.features import series as columns
from app.features.frequency import MAX_SEASON
from training.forecast.net import (
    ABSOLUTE_FLOOR,
    BUFFER,
    DECAY,
    NUM_CANDIDATES,
    NUM_LAGS,
    NUM_SCALES,
    RELATIVE_FLOOR,
    Forecaster,
)
from training.forecast.quantiles import MIN_GAP

if TYPE_CHECKING:
    from training.graph import Graph

_NUM_RECENT = 2
_NUM_PAST = 4


@dataclass(frozen=True, slots=True)
class _View:
    """Names of what the steps see; all ``[batch, time, k]`` but ``buffer`` ``[batch, 336 + time]``."""

    filled: str
    buffer: str
    age: str
    seasons: str
    known: str
    frequency: str
    scales: str


def emit_forecaster(
    net: Forecaster, g: Graph, x: str, state: str, head_from: str
) -> tuple[dict[str, str], str]:
    """Write the network into ``g``.

    Args:
        net: whose weights to use.
        g: the graph under construction.
        x: tensor ``[batch, time, 12]``.
        state: tensor ``[batch, row_size]``.
        head_from: int64 ``[1]``, first step whose forecast is wanted.

    Returns:
        Names of ``{"quantiles": [batch, read, horizon, levels]}`` and of the next row.
    """
    sizes = [net.recurrent.size, *(shape[0] for _, shape in net.fields()[-3:])]
    recurrent, past, age, sums = g.split(state, sizes, axis=1)
    time = g.op("Slice", g.op("Shape", x), g.ints(1), g.ints(2), g.ints(0))
    view, carried = _observe(net, g, x, past, age, sums, time)
    embedded = g.op("Gather", g.constant(net.frequency.weight), view.frequency, axis=0)
    hidden, after = net.recurrent.emit(g, g.op("Concat", view.known, embedded, axis=2), recurrent)
    quantiles = _predict(net, g, hidden, view, head_from, time)
    return {"quantiles": quantiles}, g.op("Concat", after, *carried, axis=1)


def _observe(
    net: Forecaster, g: Graph, x: str, past: str, age: str, sums: str, time: str
) -> tuple[_View, list[str]]:
    value, observed, frequency, seasons, timing = g.split(x, [1, 1, 1, 2, columns.NUM_COLUMNS - 5], axis=2)
    value, mask, frequency = (g.squeeze(part, 2) for part in (value, observed, frequency))
    seen = g.op("Greater", mask, g.scalar(0.0))
    order = g.op("CumSum", _to_int(g, seen), g.constant(np.asarray(1, np.int64)))
    dump = g.op("Add", time, g.ints(1))
    # The packed row is the carried value, then room for every step, then the place nobody reads.
    room = g.op("Sub", value, value)
    latest = g.slice(past, BUFFER - 1, BUFFER, axis=1)
    packed = g.op("Concat", latest, room, g.op("Sub", latest, latest), axis=1)
    packed = g.op("ScatterElements", packed, g.op("Where", seen, order, dump), value, axis=1)
    filled = g.op("GatherElements", packed, order, axis=1)
    buffer = g.op("Concat", past, filled, axis=1)
    one = g.constant(np.asarray(1, np.int64))
    begun = g.op("Or", g.op("Greater", order, g.ints(0)), g.op("Greater", age, g.scalar(0.0)))
    counted = g.op("CumSum", g.op("Concat", age, _to_float(g, begun), axis=1), one)
    ages = g.unsqueeze(g.slice(counted, 1, None, axis=1), 2)
    lags = g.op("Add", g.op("MatMul", seasons, g.constant(net.lag_weights)), g.constant(net.lag_offsets))
    valid = _to_float(g, g.op("Greater", ages, lags))
    end = g.op("Add", time, g.ints(BUFFER))
    clock = g.op("Range", g.constant(np.asarray(BUFFER, np.int64)), g.squeeze(end, 0), one)
    index = g.op("Sub", g.unsqueeze(clock, 1), _to_int(g, lags))
    lagged = g.op("GatherElements", buffer, g.op("Reshape", index, g.ints(0, -1)), axis=1)
    level = g.unsqueeze(filled, 2)
    lagged = g.op("Reshape", lagged, g.op("Concat", g.ints(0), time, g.ints(NUM_LAGS), axis=0))
    differences = g.op("Mul", g.op("Sub", level, lagged), valid)
    weights = g.op("Mul", g.slice(valid, 0, _NUM_RECENT, axis=2), observed)
    amounts = g.op("Mul", g.op("Abs", g.slice(differences, 0, _NUM_RECENT, axis=2)), weights)
    # Each quantity is a sequence of its own for one unit with a constant recurrent weight.
    stacked = g.op("Transpose", g.op("Concat", amounts, weights, axis=2), perm=[1, 0, 2])
    means, last_sums = g.ops(
        "RNN",
        g.op("Reshape", stacked, g.ints(0, -1, 1)),
        g.constant(np.ones((1, 1, 1), np.float32)),
        g.constant(np.full((1, 1, 1), DECAY, np.float32)),
        "",
        "",
        g.op("Reshape", sums, g.ints(1, -1, 1)),
        num=2,
        hidden_size=1,
        activations=["Relu"],
    )
    means = g.op("Transpose", g.op("Reshape", means, g.ints(0, -1, NUM_SCALES)), perm=[1, 0, 2])
    amounts, weights = g.split(means, [2, 2], axis=2)
    single, seasonal = g.split(g.op("Div", amounts, g.op("Max", weights, g.scalar(1e-9))), [1, 1], axis=2)
    repeated = g.op("Greater", g.slice(weights, 1, 2, axis=2), g.scalar(0.0))
    size = g.op("Abs", level)
    floor = g.op("Mul", g.op("Max", size, single), g.scalar(RELATIVE_FLOOR))
    scales = g.op("Concat", single, g.op("Where", repeated, seasonal, single), axis=2)
    scales = g.op("Max", scales, floor, g.scalar(ABSOLUTE_FLOOR))
    single, scale = g.split(scales, [1, 1], axis=2)
    known = g.op(
        "Concat",
        _squash(g, g.op("Div", differences, g.op("MatMul", scales, g.constant(net.lag_scales)))),
        _squash(g, g.op("Div", level, scale)),
        g.op("Div", single, g.op("Add", single, scale)),
        g.op("Div", scale, g.op("Add", size, scale)),
        g.slice(valid, 1, 5, axis=2),
        g.op("Div", weights, g.op("Add", weights, g.scalar(16.0))),
        g.op("Div", seasons, g.scalar(float(MAX_SEASON))),
        observed,
        timing,
        g.op("Div", ages, g.op("Add", ages, g.scalar(64.0))),
        axis=2,
    )
    carried = [
        g.slice(buffer, -BUFFER, None, axis=1),
        g.slice(counted, -1, None, axis=1),
        g.op("Reshape", last_sums, g.ints(-1, NUM_SCALES)),
    ]
    return _View(level, buffer, ages, seasons, known, _to_int(g, frequency), scales), carried


def _predict(net: Forecaster, g: Graph, hidden: str, view: _View, head_from: str, time: str) -> str:
    horizon, num_levels = net.config.horizon, len(net.config.levels)
    num_read = g.op("Sub", time, head_from)

    def read(name: str) -> str:
        """The steps to forecast from, with an axis for the horizon."""
        return g.unsqueeze(g.slice_time(name, head_from), 2)

    last, scales, age, seasons = (read(name) for name in (view.filled, view.scales, view.age, view.seasons))
    single, scale = g.split(scales, [1, 1], axis=3)
    ahead = g.constant(net.horizons.reshape(1, 1, horizon, 1))
    back = g.op("Mul", g.op("Ceil", g.op("Div", ahead, seasons)), seasons)
    back = g.op("Concat", back, g.op("Add", back, seasons), axis=3)
    lags = g.op("Concat", g.op("Sub", back, ahead), back, axis=3)
    one = g.constant(np.asarray(1, np.int64))
    end = g.op("Add", time, g.ints(BUFFER))
    begin = g.op("Add", head_from, g.ints(BUFFER))
    clock = g.op("Range", g.squeeze(begin, 0), g.squeeze(end, 0), one)
    index = g.op("Sub", g.op("Reshape", clock, g.ints(-1, 1, 1)), _to_int(g, lags))
    num_values = g.op("Mul", num_read, g.ints(horizon * 2 * _NUM_PAST))
    index = g.op("Reshape", index, g.op("Concat", g.op("Shape", index, end=1), num_values, axis=0))
    values = g.op("GatherElements", view.buffer, index, axis=1)
    shape = g.op("Concat", g.ints(0), num_read, g.ints(horizon, 2 * _NUM_PAST), axis=0)
    future, anchor = g.split(g.op("Reshape", values, shape), [_NUM_PAST, _NUM_PAST], axis=3)
    valid = _to_float(g, g.op("Greater", age, lags))
    moves = g.op("Concat", g.op("Sub", future, last), g.op("Sub", future, anchor), axis=3)
    candidates = g.op("Div", g.op("Mul", moves, valid), scale)
    seasonal, others = g.split(candidates, [1, NUM_CANDIDATES - 1], axis=3)
    smooth = g.op("Mul", seasonal, g.op("Div", scale, single))
    relative = g.op("Concat", smooth, g.op("Sub", others, seasonal), g.op("Div", future, scale), axis=3)
    known = g.op("Concat", _squash(g, relative), g.slice(valid, _NUM_PAST, None, axis=3), axis=3)
    context = g.linear(g.slice_time(hidden, head_from), net.context.weight, net.context.bias)
    mixed = g.op("Add", g.linear(known, net.known.weight), g.constant(net.place))
    mixed = g.op("Relu", g.op("Add", mixed, g.unsqueeze(context, 2)))
    parts = g.linear(mixed, net.local.weight, net.local.bias)
    logits, rest, gaps = g.split(parts, [NUM_CANDIDATES + 1, 1, num_levels - 1], axis=3)
    weights = g.slice(g.op("Softmax", logits, axis=3), 1, None, axis=3)
    gaps = g.op("Add", _squareplus(g, gaps), g.scalar(MIN_GAP))
    parts = g.op("Concat", g.op("Mul", weights, candidates), rest, gaps, axis=3)
    summed = g.op("MatMul", parts, g.constant(net.mixing))
    return g.op("Add", last, g.op("Mul", scale, summed))


def _to_int(g: Graph, name: str) -> str:
    return g.op("Cast", name, to=TensorProto.INT64)


def _to_float(g: Graph, name: str) -> str:
    return g.op("Cast", name, to=TensorProto.FLOAT)


def _squash(g: Graph, value: str) -> str:
    tenth = g.op("Div", value, g.scalar(10.0))
    return g.op("Div", value, g.op("Sqrt", g.op("Add", g.op("Mul", tenth, tenth), g.scalar(1.0))))


def _squareplus(g: Graph, value: str) -> str:
    root = g.op("Sqrt", g.op("Add", g.op("Mul", value, value), g.scalar(4.0)))
    return g.op("Mul", g.op("Add", value, root), g.scalar(0.5))
