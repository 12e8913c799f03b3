"""Layers of ``torch.nn`` that a step passes: which are exported, what of their options is not, and how.

All work on ``[batch, time, features]``, whatever layout the user's module has them in, and treat each step
by itself. The recurrent layers are in ``training.cells``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.graph import Graph

Emit = Callable[[Graph, Any, str], str]


@dataclass(frozen=True, slots=True)
class Layer:
    """How a layer is written as ONNX nodes.

    Attributes:
        emit: ``(graph, layer, x) -> y``.
        refused: what of the layer's options is not supported, and what to do instead; ``None`` if nothing.
        run: ``(layer, x) -> y`` in PyTorch, on ``[batch, time, features]``; an embedding takes tokens.
    """

    emit: Emit
    refused: Callable[[Any], str | None] = lambda layer: None
    run: Callable[[Any, Tensor], Tensor] = lambda layer, x: layer(x)


def _by_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """As ``[rows, features]``: in three axes the layer would take another for the features."""
    y: Tensor = layer(x.reshape(-1, x.shape[-1]))
    return y.reshape(*x.shape[:-1], -1)


def _embedding(g: Graph, layer: nn.Embedding, x: str) -> str:
    # max_norm shortens a row when it is looked up, in place.
    rows = functional.embedding(
        torch.arange(layer.num_embeddings),
        layer.weight.detach().clone(),
        max_norm=layer.max_norm,
        norm_type=layer.norm_type,
    )
    return g.op("Gather", g.constant(rows), x, axis=0)


def _passed(g: Graph, layer: nn.Module, x: str) -> str:
    return x


def _layer_norm(g: Graph, layer: nn.LayerNorm, x: str) -> str:
    ones = torch.ones(layer.normalized_shape)
    weight = ones if layer.weight is None else layer.weight
    bias = torch.zeros_like(ones) if layer.bias is None else layer.bias
    return g.op(
        "LayerNormalization", x, g.constant(weight), g.constant(bias), axis=-1, epsilon=float(layer.eps)
    )


def _rms_norm(g: Graph, layer: nn.RMSNorm, x: str) -> str:
    small = torch.finfo(torch.float32).eps if layer.eps is None else layer.eps
    # The mean, by a product: ReduceMean's bits depend on where in the tensor a row stands.
    (size,) = layer.normalized_shape
    mean = g.op("MatMul", g.op("Mul", x, x), g.constant(torch.full((size, 1), 1 / size)))
    y = g.op("Div", x, g.op("Sqrt", g.op("Add", mean, g.scalar(small))))
    return y if layer.weight is None else g.op("Mul", y, g.constant(layer.weight))


def _batch_norm(g: Graph, layer: nn.BatchNorm1d, x: str) -> str:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = torch.rsqrt(layer.running_var + layer.eps)
    if layer.weight is not None:
        scale = scale * layer.weight
    y = g.op("Mul", g.op("Sub", x, g.constant(layer.running_mean)), g.constant(scale))
    return y if layer.bias is None else g.op("Add", y, g.constant(layer.bias))


def _one_axis(layer: nn.LayerNorm | nn.RMSNorm) -> str | None:
    shape = tuple(layer.normalized_shape)
    if len(shape) == 1:
        return None
    return f"normalized_shape={shape} takes in several steps; normalise the features of each step alone"


def _remembers(layer: nn.BatchNorm1d) -> str | None:
    if layer.running_mean is None or layer.running_var is None:
        return "track_running_stats=False takes the mean of the batch; train with running means"
    return None


def _simple(kind: str, **attributes: Any) -> Emit:
    return lambda g, layer, x: g.op(kind, x, **attributes)


def _leaky_relu(g: Graph, layer: nn.LeakyReLU, x: str) -> str:
    return g.op("LeakyRelu", x, alpha=float(layer.negative_slope))


def _elu(g: Graph, layer: nn.ELU, x: str) -> str:
    low = g.op("Min", x, g.scalar(0.0))
    below = g.op("Mul", g.op("Sub", g.op("Exp", low), g.scalar(1.0)), g.scalar(float(layer.alpha)))
    return g.op("Where", g.op("Greater", x, g.scalar(0.0)), x, below)


def _prelu(g: Graph, layer: nn.PReLU, x: str) -> str:
    below = g.op("Mul", g.op("Min", x, g.scalar(0.0)), g.constant(layer.weight))
    return g.op("Add", g.op("Max", x, g.scalar(0.0)), below)


def _clip(low: str, high: str) -> Emit:
    def emit(g: Graph, layer: nn.Module, x: str) -> str:
        return g.op("Clip", x, g.scalar(float(getattr(layer, low))), g.scalar(float(getattr(layer, high))))

    return emit


def _silu(g: Graph, layer: nn.SiLU, x: str) -> str:
    return g.op("Mul", x, g.op("Sigmoid", x))


def _gelu(g: Graph, layer: nn.GELU, x: str) -> str:
    """Hendrycks & Gimpel 2016; with ``approximate="tanh"`` their formula for it."""
    if layer.approximate == "tanh":
        cube = g.op("Mul", g.op("Mul", x, x), x)
        inner = g.op("Add", x, g.op("Mul", cube, g.scalar(0.044715)))
        inner = g.op("Tanh", g.op("Mul", inner, g.scalar(float(np.sqrt(2 / np.pi)))))
    else:
        inner = g.op("Erf", g.op("Mul", x, g.scalar(float(np.sqrt(0.5)))))
    return g.op("Mul", g.op("Mul", x, g.scalar(0.5)), g.op("Add", inner, g.scalar(1.0)))


def _softsign(g: Graph, layer: nn.Softsign, x: str) -> str:
    return g.op("Div", x, g.op("Add", g.op("Abs", x), g.scalar(1.0)))


def _threshold(g: Graph, layer: nn.Threshold, x: str) -> str:
    over = g.op("Greater", x, g.scalar(float(layer.threshold)))
    return g.op("Where", over, x, g.scalar(float(layer.value)))


def _hard_sigmoid(g: Graph, layer: nn.Module, x: str) -> str:
    y = g.op("Add", g.op("Mul", x, g.scalar(1 / 6)), g.scalar(0.5))
    return g.op("Clip", y, g.scalar(0.0), g.scalar(1.0))


def _hard_swish(g: Graph, layer: nn.Hardswish, x: str) -> str:
    return g.op("Mul", x, _hard_sigmoid(g, layer, x))


def _log_softmax(g: Graph, layer: nn.LogSoftmax, x: str) -> str:
    return g.op("LogSoftmax", x, axis=-1)


def _no_dim(layer: nn.LogSoftmax) -> str | None:
    return None if layer.dim is not None else "dim=None guesses an axis; name that of the features"


def _logits(layer: nn.Module) -> str:
    return (
        "the server takes logits, and makes probabilities itself; leave the layer out, or use nn.LogSoftmax"
    )


LAYERS: dict[type[nn.Module], Layer] = {
    nn.Embedding: Layer(_embedding),
    nn.Linear: Layer(lambda g, layer, x: g.linear(x, layer.weight, layer.bias)),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout), Layer(_passed)),
    nn.Identity: Layer(_passed),
    nn.LayerNorm: Layer(_layer_norm, _one_axis),
    nn.RMSNorm: Layer(_rms_norm, _one_axis),
    nn.BatchNorm1d: Layer(_batch_norm, _remembers, run=_by_rows),
    nn.ReLU: Layer(_simple("Relu")),
    nn.ReLU6: Layer(_clip("min_val", "max_val")),
    nn.Hardtanh: Layer(_clip("min_val", "max_val")),
    nn.LeakyReLU: Layer(_leaky_relu),
    nn.ELU: Layer(_elu),
    nn.PReLU: Layer(_prelu, run=_by_rows),
    nn.Tanh: Layer(_simple("Tanh")),
    nn.Sigmoid: Layer(_simple("Sigmoid")),
    nn.SiLU: Layer(_silu),
    nn.GELU: Layer(_gelu),
    nn.Softsign: Layer(_softsign),
    nn.Threshold: Layer(_threshold),
    nn.Hardsigmoid: Layer(_hard_sigmoid),
    nn.Hardswish: Layer(_hard_swish),
    nn.LogSoftmax: Layer(_log_softmax, _no_dim, lambda layer, x: functional.log_softmax(x, -1)),
    nn.Softmax: Layer(_passed, _logits),
}
