"""A recurrent encoder that reads a sentence in both directions, before a decoder that attends to it.

source --embedding, both directions--> values --linear--> keys        attended: keys and values
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.attending.encoder import PartOfNet
from training.attending.net import AttendingConfig, AttendingDecoder, full_precision
from training.both_ways import emit_both_ways, read_both_ways
from training.regularise import locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatorConfig(AttendingConfig):
    """Of a :class:`Translator`; ``encoder``: units in each direction."""

    max_length: int = 128
    encoder: int = 256


class Translator(AttendingDecoder):
    """See the module. Without attention (``attention=0``) layer 2 is fed what layer 1 says alone."""

    config: TranslatorConfig

    def __init__(self, config: TranslatorConfig, unknown: int = 0) -> None:
        super().__init__(config, unknown)
        self.encoder = self._layers(config.embedding, config.encoder, bidirectional=True)
        self.start = nn.Linear(config.values, self.row_size)
        self.keys = nn.Linear(config.values, config.attention, bias=False) if config.attention else None

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Sources to rows ``[batch, row_size]`` and what is attended to.

        Args:
            source: tokens ``[batch, length]``.
            lengths: int64 ``[batch]``; behind them no token counts.

        Returns:
            The rows, and ``[batch, length, width]``, keys before values.
        """
        config = self.config
        features = self._embedded(source).float()
        with self._noise(self.encoder), full_precision(self.encoder):
            if bool((lengths == source.shape[1]).all()):
                # Packed sequences have no fused kernel on a CPU; without padding there is no need of them.
                values, last = self.encoder(features)
                ends = torch.cat([*(last[0] if isinstance(last, tuple) else last)], dim=1)
            else:
                values, ends = read_both_ways(self.encoder, features, lengths)
        values = locked_dropout(values, config.dropout / 2, self.training)
        row = torch.tanh(self.start(ends)).float()
        if self.keys is None:
            return row, values
        return row, torch.cat([self.keys(values).float() * config.attention**-0.5, values], dim=2)


class Encoder(PartOfNet[Translator]):
    """The encoder of a :class:`Translator`, of the exportable form."""

    input_shape: tuple[int, ...] = ()
    attended_length = None

    def __init__(self, net: Translator) -> None:
        super().__init__(net)
        self.max_length = net.config.max_length

    def __call__(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        assert lengths is not None
        return self._net.encode(x, lengths)

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """The same as ONNX nodes."""
        net, config = self._net, self._net.config
        features = g.op("Gather", g.constant(net.embedding.weight * config.embedding**0.5), x, axis=0)
        values, ends = emit_both_ways(g, net.encoder, features, lengths)
        row = g.op("Tanh", g.linear(ends, net.start.weight, net.start.bias))
        if net.keys is None:
            return row, values
        return row, g.op("Concat", g.linear(values, net.keys.weight * config.attention**-0.5), values, axis=2)
