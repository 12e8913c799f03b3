"""The forecaster as ONNX nodes: what it learned; the rest writes itself, see :mod:`training.forecast.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from onnx import TensorProto

from app.features import series as columns
from training.forecast.candidates import NUM_CANDIDATES, NUM_KNOWN, candidates, known
from training.forecast.look_back import View
from training.forecast.memory import NUM_EVEN, NUM_ODD, Memory, observe
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
    ops, size, beside = GraphOps(g), net.recurrent.size, net.config.beside
    num_parts = len(Memory.sizes())
    sizes = [size, size, *Memory.sizes().values(), *([beside.remembered] if beside.known else [])]
    plain, turned, *memory = g.split(state, sizes, axis=1)
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
    index = g.op("Cast", g.slice(x, columns.FREQUENCY, columns.FREQUENCY + 1, axis=2), to=TensorProto.INT64)
    embedded = g.op("Gather", g.constant(net.frequency.weight), g.squeeze(index, 2), axis=0)
    plain_input = g.op("Concat", view.odd.name, *(each.name for each in view.even), embedded, axis=2)
    signs = [-1.0] * NUM_ODD + [1.0] * (NUM_EVEN + net.config.frequency_size)
    read = None if view.covariates is None else ops.part(view.covariates, 0, beside.num)
    both = _both(ops, Node(g, plain_input), signs, read)
    hidden, recurrent = net.recurrent.emit(g, both, g.op("Concat", plain, turned, axis=0))
    batch = g.op("Shape", x, start=0, end=1)
    halves = g.op("Concat", batch, batch, axis=0)
    plain, turned = g.ops("Split", recurrent, halves, num=2, axis=0)
    quantiles = _quantiles(net, ops, hidden, view, head_from, halves)
    return {"quantiles": quantiles}, g.op("Concat", plain, turned, *carried, axis=1)


def _both(ops: GraphOps, x: Node, signs: Sequence[float], covariates: Node | None) -> str:
    """The series above its mirror image: ``x``, and ``x`` times ``signs``; beside each its covariates."""
    turned = x * ops.constant(signs)
    if covariates is not None:
        nothing = covariates * 0.0
        x = ops.concat([x, covariates, nothing])
        turned = ops.concat([turned, nothing, covariates])
    return ops.concat([x, turned], 0).name


def _quantiles(
    net: Forecaster, ops: GraphOps, hidden: str, view: View[Node], head_from: str, halves: str
) -> str:
    g, levels = ops.g, len(net.config.levels)

    told, position = (Node(g, g.slice_time(each.name, head_from)) for each in (view.told, view.position))
    found = candidates(ops, told, position, view.buffer, net.config.horizon)
    more = None
    if view.covariates is not None and view.passed is not None:
        here = Node(g, g.slice_time(view.covariates.name, head_from))
        more = net.config.beside.hear(ops, here, view.passed, told, position, found.found, net.config.horizon)
    signs = [-1.0] * NUM_CANDIDATES + [1.0] * (NUM_KNOWN - NUM_CANDIDATES)
    both = _both(ops, known(ops, found), signs, more)
    context = g.linear(g.slice_time(hidden, head_from), net.context.weight, net.context.bias)
    mixed = g.op("Add", g.linear(both, net.known.weight), g.constant(net.place))
    mixed = g.op("Relu", g.op("Add", mixed, g.unsqueeze(context, 2)))
    said = g.linear(mixed, net.local.weight, net.local.bias)
    logits, rest, gaps = g.split(said, [NUM_CANDIDATES, 1, levels - 1], axis=3)
    doubt = g.op("Concat", found.doubt.name, found.doubt.name, axis=0)
    weights = g.op("Softmax", g.op("Sub", logits, doubt), axis=3)
    root = g.op("Sqrt", g.op("Add", g.op("Mul", gaps, gaps), g.scalar(4.0)))
    # Twice the gaps; the matrices at the end halve them.
    gaps = g.op("Add", g.op("Add", gaps, root), g.scalar(2.0 * MIN_GAP))
    noise = ops.concat([found.noise, found.noise], 0)
    sure = noise * ops.least(noise * SURE, 1.0)
    values = g.op("Concat", found.values.name, found.values.name, axis=0)
    added = [g.op("Mul", rest, sure.name), g.op("Mul", gaps, noise.name)]
    parts = g.op("Concat", g.op("Mul", weights, values), *added, axis=3)
    both = g.op("Concat", *g.ops("Split", parts, halves, num=2, axis=0), axis=3)
    mixing = torch.cat([net.mixing, net.mirrored]) * 0.5
    mixing[[row for row in range(len(mixing)) if row % len(net.mixing) > NUM_CANDIDATES]] *= 0.5
    offsets = g.op("MatMul", both, g.constant(mixing))
    moved = g.op("Mul", found.unit.name, offsets)
    return g.op("Add", found.anchor.name, moved)
