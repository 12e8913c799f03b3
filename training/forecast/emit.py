"""The forecaster as ONNX nodes: what it learned; the rest writes itself, see :mod:`training.forecast.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from onnx import TensorProto

from app.features import series as columns
from training.cells import emit_time_major
from training.forecast.candidates import NUM_CANDIDATES, SETTLING, candidates, known
from training.forecast.look_back import View
from training.forecast.memory import Memory, observe
from training.forecast.net import SURE
from training.forecast.ops import GraphOps, Node
from training.forecast.quantiles import MIN_GAP

if TYPE_CHECKING:
    from training.forecast.net import Forecaster
    from training.graph import Graph


def emit_forecaster(
    net: Forecaster, g: Graph, x: str, state: str, head_from: str
) -> tuple[dict[str, str], str]:
    """Write the network into ``g``.

    Args:
        net: whose weights to use.
        g: the graph under construction.
        x: tensor ``[batch, time, k]``.
        state: tensor ``[batch, row_size]``.
        head_from: int64 ``[1]``, first step whose forecast is wanted.

    Returns:
        Names of ``{"quantiles": [batch, read, horizon, levels]}`` and of the next row.
    """
    ops, beside, stack = GraphOps(g), net.config.beside, net.recurrent
    num_parts = len(Memory.sizes())
    sizes = [2 * stack.size, *Memory.sizes().values(), *([beside.remembered] if beside.known else [])]
    recurrent, *memory = g.split(state, sizes, axis=1)
    whole = Node(g, x)
    series = ops.part(whole, 0, columns.NUM_COLUMNS) if beside.num else whole
    view, after = observe(ops, series, Memory(*(Node(g, name) for name in memory[:num_parts])))
    carried = [each.name for each in after]
    if beside.num:
        covariates, passed = ops.part(whole, columns.NUM_COLUMNS, net.step_shape[0]), None
        if beside.known:
            passed, past = beside.remember(ops, covariates, Node(g, memory[num_parts]))
            carried.append(past.name)
        view = view.with_covariates(covariates, passed)
    index = g.op("Cast", g.squeeze(view.frequency.name, 2), to=TensorProto.INT64)
    embedded = Node(g, g.op("Gather", g.constant(net.frequency.weight), index, axis=0))
    even = ops.concat([*view.even, embedded])
    more = None if view.covariates is None else ops.part(view.covariates, 0, beside.num)
    both = _both(ops, view.odd, even, more)
    hidden, recurrent = _recurrent(net, g, both.name, recurrent)
    quantiles = _quantiles(net, ops, hidden, view, head_from)
    return {"quantiles": quantiles}, g.op("Concat", recurrent, *carried, axis=1)


def _both(ops: GraphOps, odd: Node, even: Node, covariates: Node | None) -> Node:
    """The series and its mirror image side by side; beside each its covariates, where the other has zeros."""
    if covariates is None:
        return ops.concat([odd, even, odd * -1.0, even])
    nothing = covariates * 0.0
    return ops.concat([odd, even, covariates, nothing, odd * -1.0, even, nothing, covariates])


def _recurrent(net: Forecaster, g: Graph, x: str, state: str) -> tuple[str, str]:
    """Both readings as rows of one batch.

    Args:
        net: whose layers to use.
        g: the graph under construction.
        x: tensor ``[batch, time, 2 * features]``.
        state: tensor ``[batch, 2 * size]``.

    Returns:
        The outputs ``[time, batch, 1, 2, hidden]`` and the next state.
    """
    layers, parts, hidden = net.recurrent.layers, len(net.recurrent.fields()), net.config.hidden
    steps = g.op("Reshape", g.op("Transpose", x, perm=[1, 0, 2]), g.ints(0, -1, layers.input_size))
    rows = g.op("Transpose", g.op("Reshape", state, g.ints(-1, parts, hidden)), perm=[1, 0, 2])
    y, after = emit_time_major(g, layers, steps, g.split(rows, [1] * parts, axis=0))
    rows = g.op("Transpose", g.op("Concat", *after, axis=0), perm=[1, 0, 2])
    rows = g.op("Reshape", rows, g.ints(-1, 2 * net.recurrent.size))
    return g.op("Reshape", y, g.ints(0, -1, 1, 2, hidden)), rows


def _quantiles(net: Forecaster, ops: GraphOps, hidden: str, view: View[Node], head_from: str) -> str:
    """``[batch, read, horizon, levels]``, of ``hidden`` as :func:`_recurrent` gives it."""
    g, levels, horizon = ops.g, len(net.config.levels), net.config.horizon

    def here(x: Node) -> Node:
        return Node(g, g.op("Unsqueeze", g.slice_time(x.name, head_from), g.ints(2, 3)))

    told, position = here(view.told), here(view.position)
    found = candidates(ops, told, position, view.buffer, horizon)
    more = None
    if view.covariates is not None and view.passed is not None:
        beside, covariates = net.config.beside, here(view.covariates)
        more = beside.hear(ops, covariates, view.passed, told, position, found.found, horizon)
    both = _both(ops, known(ops, found), found.found, more).name
    both = g.op("Reshape", both, g.ints(0, 0, horizon, 2, net.known.in_features))
    read = g.op("Transpose", g.slice_time(hidden, head_from, axis=0), perm=[1, 0, 2, 3, 4])
    context = Node(g, g.linear(read, net.context.weight, net.context.bias))
    mixed = Node(g, g.linear(both, net.known.weight)) + ops.constant(net.place.detach().unsqueeze(1))
    said = g.linear(g.op("Relu", (mixed + context).name), net.local.weight, net.local.bias)
    logits, rest, gaps = (Node(g, each) for each in g.split(said, [NUM_CANDIDATES, 1, levels - 1], axis=-1))
    weights = Node(g, g.op("Softmax", (logits - found.doubt).name, axis=-1))
    # Twice the gaps; the matrices at the end halve them.
    gaps = ops.sqrt(gaps * gaps + 4.0) + gaps + 2.0 * MIN_GAP
    sure = found.noise * ops.least(found.noise * SURE, 1.0)
    narrowing = net.narrowing.cpu().numpy()[:, None, None]
    width = found.age * ops.constant(-narrowing / SETTLING) + ops.constant(1.0 + narrowing)
    width = found.noise * ops.least(ops.most(width, ops.constant(1.0 - narrowing)), 1.0)
    parts = ops.concat([weights * found.values, rest * sure, gaps * width])
    mixing = torch.cat([net.mixing, net.mirrored]) * 0.5
    mixing[[row for row in range(len(mixing)) if row % len(net.mixing) > NUM_CANDIDATES]] *= 0.5
    joined = Node(g, g.op("Reshape", parts.name, g.ints(0, 0, horizon, len(mixing))))
    anchor, unit = (Node(g, g.squeeze(each.name, 3)) for each in (found.anchor, found.unit))
    return (anchor + unit * (joined @ ops.constant(mixing))).name
