"""Recurrent layers over whole inputs of different lengths, in one direction or in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from training.cells import CELLS, operator_of, pad_row

if TYPE_CHECKING:
    from training.graph import Graph


def read_both_ways(module: nn.RNNBase, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Run layers that begin with zeros over whole inputs.

    Args:
        module: of one or both directions, batch first.
        x: ``[batch, length, features]``; what lies behind ``lengths`` does not count.
        lengths: int64 ``[batch]``, each at least one.

    Returns:
        Outputs ``[batch, length, directions * hidden]``, zeros behind ``lengths``; and the last ``h`` of the
        top layer ``[batch, directions * hidden]``, where each direction ended.
    """
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    y, last = module(packed)
    h = last[0] if isinstance(module, nn.LSTM) else last
    directions = 1 + module.bidirectional
    outputs, _ = pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
    return outputs, h[-directions:].transpose(0, 1).flatten(1)


def emit_both_ways(g: Graph, module: nn.RNNBase, x: str, lengths: str) -> tuple[str, str]:
    """The same as ONNX nodes, of tensors of the same shapes."""
    cell, names = CELLS[type(module)], ["", "_reverse"][: 1 + module.bidirectional]
    counts = g.op("Cast", lengths, to=TensorProto.INT32)
    y, last = g.op("Transpose", x, perm=[1, 0, 2]), ""
    if cell == "rnn":
        # One row alone has other bits than two (training.cells): a copy of the first goes with the others.
        y, counts = pad_row(g, y, axis=1), g.op("Concat", counts, g.slice(counts, 0, 1, axis=0), axis=0)
    for layer in range(module.num_layers):
        weights, attributes = operator_of(g, module, [f"_l{layer}{name}" for name in names], cell)
        direction = "bidirectional" if module.bidirectional else "forward"
        y, h = g.ops(cell.upper(), y, *weights, counts, num=2, direction=direction, **attributes)
        y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.ints(0, 0, -1))
        last = g.op("Reshape", g.op("Transpose", h, perm=[1, 0, 2]), g.ints(0, -1))
    y = g.op("Transpose", y, perm=[1, 0, 2])
    if cell == "rnn":
        y, last = g.slice(y, 0, -1, axis=0), g.slice(last, 0, -1, axis=0)
    return y, last


def mean_of(values: Tensor, lengths: Tensor) -> Tensor:
    """The mean ``[batch, width]`` over positions ``[batch, length, width]``, zero behind ``lengths``."""
    return values.sum(dim=1) / lengths[:, None].to(values.dtype)


def emit_mean_of(g: Graph, values: str, lengths: str) -> str:
    """The same as ONNX nodes, of tensors of the same shapes."""
    # A running sum: ReduceSum adds in an order that depends on the size of the batch.
    sums = g.op("CumSum", values, g.constant(np.asarray(1, np.int64)))
    total = g.squeeze(g.slice(sums, -1, None, axis=1), axis=1)
    return g.op("Div", total, g.unsqueeze(g.op("Cast", lengths, to=TensorProto.FLOAT), axis=1))
