"""A decoder with attention as ONNX nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.cells import emit_layers, pad_row
from training.graph import Graph

if TYPE_CHECKING:
    from training.attending.net import AttendingNet

MASKED = -1e30
"""Added to what is not to be attended to; infinity would make NaN of a row that has nothing else."""


def emit_decoder(
    g: Graph, net: AttendingNet, x: str, state: str, head_from: str, attended: str, attended_length: str
) -> tuple[dict[str, str], str]:
    """Outputs by name, and the next rows.

    Attention is given over as many positions as a source may have, so that its shape is fixed.
    """
    config = net.config
    features = _embedded(g, net, x)
    parts = g.split(state, [config.hidden] * (net.row_size // config.hidden), axis=1)
    half = len(parts) // 2
    hidden, first = emit_layers(g, net.first, features, parts[:half])
    seen, outputs = [hidden], {}
    if net.queries is not None:
        keys, values = g.split(attended, [config.attention, config.values], axis=2)
        # One query alone would be multiplied by another kernel than several, with other bits.
        queries = pad_row(g, g.linear(hidden, net.queries.weight), axis=1)
        scores = g.op("MatMul", queries, g.op("Transpose", keys, perm=[0, 2, 1]))
        weights = g.op("Softmax", g.op("Add", scores, _mask(g, attended, attended_length)), axis=-1)
        found = g.op("MatMul", weights, values)
        seen.append(g.slice(found, 0, -1, axis=1))
        outputs["attention"] = _widened(
            g, g.slice_time(g.slice(weights, 0, -1, axis=1), head_from), config.positions
        )
    below = g.op("Concat", *seen, axis=2) if len(seen) > 1 else hidden
    hidden, second = emit_layers(g, net.second, below, parts[half:])
    said = g.slice_time(g.op("Concat", hidden, *seen[1:], features, axis=2), head_from)
    said = g.op("Tanh", g.linear(said, net.readout.weight, net.readout.bias))
    logits = g.linear(said, net.embedding.weight, net.bias)
    return {"logits": logits, **outputs}, g.op("Concat", *first, *second, axis=1)


def _embedded(g: Graph, net: AttendingNet, tokens: str) -> str:
    return g.op("Gather", g.constant(net.embedding.weight * net.config.embedding**0.5), tokens, axis=0)


def _mask(g: Graph, attended: str, length: str) -> str:
    """``[batch, 1, positions]``: zero, and :data:`MASKED` behind the end."""
    count = g.op("Gather", g.op("Shape", attended), g.constant(np.array(1)), axis=0)
    places = g.op("Range", g.constant(np.array(0)), count, g.constant(np.array(1)))
    known = g.op("Less", g.unsqueeze(places, axis=0), g.unsqueeze(length, axis=1))
    return g.unsqueeze(g.op("Where", known, g.scalar(0.0), g.scalar(MASKED)), axis=1)


def _widened(g: Graph, weights: str, positions: int) -> str:
    """``[batch, read, positions]``, zero behind what there is."""
    width = g.op("Slice", g.op("Shape", weights), g.ints(2), g.ints(3))
    missing = g.op("Sub", g.ints(positions), width)
    return g.op("Pad", weights, g.op("Concat", g.ints(0, 0, 0, 0, 0), missing, axis=0))
