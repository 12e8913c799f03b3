"""A recurrent encoder that reads a sentence in both directions, before a decoder that attends to it.

source --embedding, both directions--> values --linear--> keys        attended: keys and values
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from training.attending.net import AttendingConfig, AttendingNet, full_precision
from training.cells import CELLS, PARTS, gates
from training.regularise import locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph

_PADDED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatorConfig(AttendingConfig):
    """Of a :class:`Translator`; ``encoder``: units in each direction."""

    max_length: int = 128
    encoder: int = 256

    @staticmethod
    def sizes(encoder: int, max_length: int) -> dict[str, int]:
        """What follows of the others; positions are those of the longest source, as the server pads it."""
        return {"values": 2 * encoder, "positions": -(-max_length // _PADDED) * _PADDED}


class Translator(AttendingNet):
    """See the module. Without attention (``attention=0``) layer 2 is fed what layer 1 says alone."""

    config: TranslatorConfig

    def __init__(self, config: TranslatorConfig, unknown: int = 0) -> None:
        super().__init__(config, unknown)
        self.encoder = self._layers(config.embedding, config.encoder, bidirectional=True)
        self.start = nn.Linear(config.values, self.row_size)
        self.keys = nn.Linear(config.values, config.attention, bias=False) if config.attention else None

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Sources of one length ``[batch, length]`` to rows ``[batch, row_size]`` and what is attended to.

        That is ``[batch, length, width]``, keys before values.
        """
        config = self.config
        features = self._embedded(source)
        with self._noise(self.encoder), full_precision(self.encoder):
            values, last = self.encoder(features.float())
        values = locked_dropout(values, config.dropout / 2, self.training)
        ends = torch.cat([*(last[0] if isinstance(last, tuple) else last)], dim=1)
        row = torch.tanh(self.start(ends)).float()
        if self.keys is None:
            return row, values
        return row, torch.cat([self.keys(values).float() * config.attention**-0.5, values], dim=2)


class Encoder:
    """The encoder of a :class:`Translator`, of the exportable form."""

    input_shape: tuple[int, ...] = ()
    attended_length = None

    def __init__(self, net: Translator) -> None:
        self._net = net
        self.max_length = net.config.max_length

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self._net.named_parameters()

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        return self._net.named_buffers()

    def eval(self) -> nn.Module:
        return self._net.eval()

    def cpu(self) -> nn.Module:
        return self._net.cpu()

    def __call__(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sources ``[batch, length]``, each read to its own length, and zeros behind it."""
        assert lengths is not None
        rows, attended = [], x.new_zeros((*x.shape, self._net.config.width), dtype=torch.float32)
        for place, length in enumerate(lengths.tolist()):
            row, found = self._net.encode(x[place : place + 1, :length])
            rows.append(row)
            attended[place, :length] = found[0]
        return torch.cat(rows), attended

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str]:
        return emit_encoder(g, self._net, x, lengths)


def emit_encoder(g: Graph, net: Translator, tokens: str, lengths: str) -> tuple[str, str]:
    """Rows ``[batch, row_size]``, and keys and values ``[batch, length, width]``, zero behind the end.

    Args:
        g: the graph under construction.
        net: the weights.
        tokens: tensor ``[batch, length]``.
        lengths: int64 tensor ``[batch]``.
    """
    config = net.config
    features = g.op("Gather", g.constant(net.embedding.weight * config.embedding**0.5), tokens, axis=0)
    x = g.op("Transpose", features, perm=[1, 0, 2])
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


def _both(layers: nn.RNNBase, name: str) -> np.ndarray:
    """Weights of both directions, gates in the order of ONNX, ``[2, ...]``."""
    return np.stack([gates(layers, f"{name}_l0{direction}") for direction in ("", "_reverse")])
