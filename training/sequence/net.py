"""A recurrent network over rows of numbers, or over tokens, whose output is read at any step.

    numbers [batch, time, columns], NaN where missing --normalise, mask--> layers --head--> outputs
    tokens  [batch, time]                              --embedding-------> layers --head--> outputs

Normalisation and missing values are a part of the graph, so a caller sends readings as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional

from training.cells import Cell, Nonlinearity, RecurrentStack
from training.regularise import dropped_recurrent_weights, locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph

CLIP = 8.0
"""In standard deviations. A reading beyond says that something is wrong, and how much is of no use."""
OUTPUT = "outputs"


@dataclass(frozen=True, slots=True)
class Scale:
    """How numbers are normalised, each ``[columns]``: ``(x - mean) / deviation``."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """Shape and noise of a :class:`Reader`.

    Attributes:
        outputs: numbers that a step yields.
        vocabulary: of a network of tokens; 0 for one of numbers.
        columns: of a network of numbers.
        masked: whether it is told which numbers are missing.
    """

    outputs: int
    vocabulary: int = 0
    columns: int = 0
    masked: bool = False
    cell: Cell = "gru"
    nonlinearity: Nonlinearity = "tanh"
    embedding: int = 32
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0


class Reader(nn.Module):
    """See the module.

    Args:
        config: shape and noise.
        inputs: how the numbers of a step are normalised.
        target: how the outputs are, where they are numbers; the head gives deviations from their mean.
    """

    mean: Tensor
    deviation: Tensor
    target_mean: Tensor
    target_deviation: Tensor

    def __init__(
        self, config: ReaderConfig, inputs: Scale | None = None, target: Scale | None = None
    ) -> None:
        super().__init__()
        self.config, self.rescaled = config, target is not None
        _hold(self, "", inputs or Scale((0.0,) * config.columns, (1.0,) * config.columns))
        _hold(self, "target_", target or Scale((0.0,) * config.outputs, (1.0,) * config.outputs))
        if config.vocabulary:
            self.embedding = nn.Embedding(config.vocabulary, config.embedding)
        features = config.embedding if config.vocabulary else config.columns * (1 + config.masked)
        self.recurrent = RecurrentStack(
            config.cell, features, config.hidden, config.layers, config.dropout, config.nonlinearity
        )
        self.head = nn.Linear(config.hidden, config.outputs)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def step_shape(self) -> tuple[int, ...]:
        return () if self.config.vocabulary else (self.config.columns,)

    @property
    def row_size(self) -> int:
        return self.recurrent.size

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return self.recurrent.fields()

    def start_row(self) -> Tensor:
        return self.recurrent.start

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Steps and rows ``[batch, row_size]`` to ``outputs [batch, read, outputs]`` and rows."""
        if self.config.vocabulary:
            features = self.embedding(x)
        else:
            missing = torch.isnan(x)
            features = (torch.where(missing, self.mean, x) - self.mean) / self.deviation
            features = features.clamp(-CLIP, CLIP)
            if self.config.masked:
                features = torch.cat([features, missing.float()], dim=2)
        features = locked_dropout(features, self.config.dropout / 2, self.training)
        with dropped_recurrent_weights(self.recurrent.layers, self.config.recurrent_dropout, self.training):
            hidden, state = self.recurrent(features, state)
        hidden = functional.dropout(hidden[:, head_from:], self.config.dropout, self.training)
        outputs = self.head(hidden)
        if self.rescaled:
            outputs = outputs * self.target_deviation + self.target_mean
        return {OUTPUT: outputs}, state

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """The same as ONNX nodes."""
        if self.config.vocabulary:
            features = g.op("Gather", g.constant(self.embedding.weight), x, axis=0)
        else:
            missing, mean = g.op("IsNaN", x), g.constant(self.mean)
            features = g.op("Sub", g.op("Where", missing, mean, x), mean)
            features = g.op("Div", features, g.constant(self.deviation))
            features = g.op("Clip", features, g.scalar(-CLIP), g.scalar(CLIP))
            if self.config.masked:
                flags = g.op("Cast", missing, to=TensorProto.FLOAT)
                features = g.op("Concat", features, flags, axis=2)
        hidden, after = self.recurrent.emit(g, features, state)
        outputs = g.linear(g.slice_time(hidden, head_from), self.head.weight, self.head.bias)
        if self.rescaled:
            outputs = g.op("Mul", outputs, g.constant(self.target_deviation))
            outputs = g.op("Add", outputs, g.constant(self.target_mean))
        return {OUTPUT: outputs}, after


def _hold(module: nn.Module, prefix: str, scale: Scale) -> None:
    for name, values in (("mean", scale.mean), ("deviation", scale.deviation)):
        module.register_buffer(f"{prefix}{name}", torch.from_numpy(np.array(values, np.float32)))
