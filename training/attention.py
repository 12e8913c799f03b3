"""Attention by products of queries and keys, in PyTorch and as ONNX nodes whose bits depend on no neighbour.

    weights = softmax(query . key, over the positions that count)        found = weights . values

Whoever wants the products scaled scales the keys or the queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from training.graph import Graph

MASKED = -1e30
"""Added to the products at padding; infinity would make NaN of a row that has nothing else."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Look with each query for what its keys say.

    Args:
        queries: ``[batch, time, dim]``; 128 dimensions at most keep the bits of the graph.
        keys: ``[batch, length, dim]``.
        values: ``[batch, length, width]``; finite at padding.
        lengths: int64 ``[batch]``, positions that count, at least one each.

    Returns:
        What was found ``[batch, time, width]``, and the weights ``[batch, time, length]``, zero at padding.
    """
    counts = torch.arange(keys.shape[1], device=lengths.device) < lengths[:, None]
    products = queries @ keys.transpose(1, 2) + torch.where(counts, 0.0, MASKED)[:, None]
    weights = torch.softmax(products, dim=2)
    return weights @ values, weights


def emit_attention(g: Graph, queries: str, keys: str, values: str, lengths: str) -> tuple[str, str]:
    """The same as ONNX nodes, of tensors of the same shapes."""
    length = g.squeeze(g.slice(g.op("Shape", keys), 1, 2, axis=0), axis=0)
    zero, one = g.constant(np.asarray(0, np.int64)), g.constant(np.asarray(1, np.int64))
    positions = g.op("Range", zero, length, one)
    counts = g.op("Less", positions, g.unsqueeze(g.unsqueeze(lengths, axis=1), axis=2))
    mask = g.op("Where", counts, g.scalar(0.0), g.scalar(MASKED))
    # A matrix with one row is multiplied by another kernel than one with two, and the results differ in the
    # last bit: the first query goes twice.
    twice = g.op("Concat", queries, g.slice(queries, 0, 1, axis=1), axis=1)
    products = g.op("MatMul", twice, g.op("Transpose", keys, perm=[0, 2, 1]))
    weights = g.op("Softmax", g.op("Add", products, mask), axis=-1)
    found = g.op("MatMul", weights, values)
    return g.slice(found, 0, -1, axis=1), g.slice(weights, 0, -1, axis=1)
