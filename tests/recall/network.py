"""Encoder-decoder networks with weights drawn at random, as bundles of the tests' own task ``recall``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.recall.schema import MAX_LENGTH, RecallSpec
from training.cells import Cell, RecurrentStack
from training.encoder_decoder import AttendingNet, TokenEncoder
from training.export import describe_run, export_bundle
from training.graph import Graph

VOCABULARY, HIDDEN, DIM = 23, 16, 8
LENGTHS = (7, 1, 12)


def networks(cell: Cell = "gru", dim: int = DIM, seed: int = 0) -> tuple[TokenEncoder, AttendingNet]:
    """An encoder of both directions, and what attends to it."""
    torch.manual_seed(seed)
    kind = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[cell]
    layers = kind(6, HIDDEN, bidirectional=True, batch_first=True)
    recurrent = RecurrentStack(cell, 6, HIDDEN)
    encoder = TokenEncoder(
        nn.Embedding(VOCABULARY, 6),
        layers,
        start=nn.Linear(2 * HIDDEN, recurrent.size),
        keys=nn.Linear(2 * HIDDEN, dim),
        max_length=MAX_LENGTH,
    )
    net = AttendingNet(
        nn.Embedding(VOCABULARY, 6),
        recurrent,
        queries=nn.Linear(HIDDEN, dim),
        head=nn.Linear(3 * HIDDEN, VOCABULARY),
    )
    for parameter in (*encoder.parameters(), *net.parameters()):
        nn.init.normal_(parameter, std=0.5)  # so that attention and logits are anything but even
    return encoder, net


def sources(seed: int = 0) -> list[np.ndarray]:
    """Golden inputs of several lengths."""
    random = np.random.default_rng(seed)
    return [random.integers(1, VOCABULARY, length) for length in LENGTHS]


def export_recall(
    models: Path,
    *,
    name: str = "recall",
    version: str = "1",
    encoder: Any = None,
    net: Any = None,
    **more: Any,
) -> Path:
    """The networks as a bundle; drawn ones where none are given."""
    drawn, drawn_net = networks()
    return export_bundle(
        net or drawn_net,
        out=models,
        name=name,
        version=version,
        description="Recalls what it has read, wrongly.",
        spec=RecallSpec(vocabulary=VOCABULARY),
        provenance=describe_run("tests", 0),
        golden_steps=more.pop("golden_steps", np.random.default_rng(1).integers(0, VOCABULARY, (3, 24))),
        encoder=encoder or drawn,
        golden_inputs=more.pop("golden_inputs", sources()),
        **more,
    )


class PictureEncoder(nn.Module):
    """Reads ``[3, 8, 8]`` at once into nine positions, and a row."""

    input_shape: tuple[int, ...] = (3, 8, 8)
    max_length: int | None = None
    attended_length: int | None = 9

    def __init__(self, row_size: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 4, stride=2)
        self.start = nn.Linear(9 * width, row_size)
        self.width = width

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """A row, and nine positions."""
        attended = torch.relu(self.convolution(x)).flatten(2).transpose(1, 2)
        return torch.tanh(self.start(attended.flatten(1))), attended

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """The same as ONNX nodes."""
        weight, bias = (g.constant(part) for part in self.convolution.parameters())
        found = g.op("Relu", g.op("Conv", x, weight, bias, strides=[2, 2], kernel_shape=[4, 4]))
        attended = g.op("Transpose", g.op("Reshape", found, g.ints(0, self.width, 9)), perm=[0, 2, 1])
        flat = g.op("Reshape", attended, g.ints(0, 9 * self.width))
        # One row alone is multiplied by another kernel.
        twice = g.op("Concat", flat, g.slice(flat, 0, 1, axis=0), axis=0)
        row = g.slice(g.linear(twice, self.start.weight, self.start.bias), 0, -1, axis=0)
        return g.op("Tanh", row), attended


def pictures(seed: int = 0, num: int = 3) -> list[np.ndarray]:
    """Inputs of :class:`PictureEncoder`."""
    return list(np.random.default_rng(seed).standard_normal((num, 3, 8, 8)).astype(np.float32))
