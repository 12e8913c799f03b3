"""The two networks of a translator as ONNX nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from torch import nn

from training.cells import CELLS, PARTS, emit_layers, gates, pad_row
from training.graph import Graph

if TYPE_CHECKING:
    from training.translate.net import Translator

MASKED = -1e30
"""Added to what is not to be attended to; infinity would make NaN of a row that has nothing else."""


def emit_encoder(g: Graph, net: Translator, tokens: str, lengths: str) -> tuple[str, str]:
    """Rows ``[batch, row_size]``, and keys and values ``[batch, length, width]``, zero behind the end.

    Args:
        g: the graph under construction.
        net: the weights.
        tokens: tensor ``[batch, length]``.
        lengths: int64 tensor ``[batch]``.
    """
    config = net.config
    x = g.op("Transpose", _embedded(g, net, tokens), perm=[1, 0, 2])
    counts = g.op("Cast", lengths, to=onnx.TensorProto.INT32)
    cell = CELLS[type(net.encoder)]
    weights = [_both(net.encoder, "weight_ih"), _both(net.encoder, "weight_hh")]
    bias = np.concatenate([_both(net.encoder, "bias_ih"), _both(net.encoder, "bias_hh")], axis=1)
    more: dict[str, object] = {"linear_before_reset": 1} if cell == "gru" else {}
    y, last, *_ = g.ops(
        cell.upper(),
        *(x, *map(g.constant, weights), g.constant(bias), counts),
        num=1 + len(PARTS[cell]),
        hidden_size=config.encoder,
        direction="bidirectional",
        **more,
    )
    size = 2 * config.encoder
    values = g.op("Reshape", g.op("Transpose", y, perm=[2, 0, 1, 3]), g.ints(0, 0, size))
    ends = g.op("Reshape", g.op("Transpose", last, perm=[1, 0, 2]), g.ints(0, size))
    row = g.op("Tanh", g.linear(ends, net.start.weight, net.start.bias))
    if net.keys is None:
        return row, values
    keys = g.linear(values, net.keys.weight * config.attention**-0.5)
    return row, g.op("Concat", keys, values, axis=2)


def emit_decoder(
    g: Graph, net: Translator, x: str, state: str, head_from: str, attended: str, attended_length: str
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
        keys, values = g.split(attended, [config.attention, 2 * config.encoder], axis=2)
        # One query alone would be multiplied by another kernel than several, with other bits.
        queries = pad_row(g, g.linear(hidden, net.queries.weight), axis=1)
        scores = g.op("MatMul", queries, g.op("Transpose", keys, perm=[0, 2, 1]))
        weights = g.op("Softmax", g.op("Add", scores, _mask(g, attended, attended_length)), axis=-1)
        found = g.op("MatMul", weights, values)
        seen.append(g.slice(found, 0, -1, axis=1))
        outputs["attention"] = _widened(
            g, g.slice_time(g.slice(weights, 0, -1, axis=1), head_from), net.positions
        )
    below = g.op("Concat", *seen, axis=2) if len(seen) > 1 else hidden
    hidden, second = emit_layers(g, net.second, below, parts[half:])
    said = g.slice_time(g.op("Concat", hidden, *seen[1:], features, axis=2), head_from)
    said = g.op("Tanh", g.linear(said, net.readout.weight, net.readout.bias))
    logits = g.linear(said, net.embedding.weight, net.bias)
    return {"logits": logits, **outputs}, g.op("Concat", *first, *second, axis=1)


def _embedded(g: Graph, net: Translator, tokens: str) -> str:
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


def _both(layers: nn.RNNBase, name: str) -> np.ndarray:
    """Weights of both directions, gates in the order of ONNX, ``[2, ...]``."""
    return np.stack([gates(layers, f"{name}_l0{direction}") for direction in ("", "_reverse")])
