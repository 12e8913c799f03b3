"""A convolutional encoder, before a decoder that attends to the places of a picture.

picture --encoder--> grid of features --linear--> values --linear--> keys       attended: keys and values
                          | mean
                          +--linear, linear, tanh--> the row that the decoder starts with
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from training.attending.encoder import PartOfNet
from training.attending.net import AttendingConfig, AttendingDecoder
from training.caption.lite0 import Lite0
from training.caption.scratch import Scratch
from training.regularise import locked_dropout

if TYPE_CHECKING:
    from training.graph import Graph

Seeing = Lite0 | Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionerConfig(AttendingConfig):
    """Of a :class:`Captioner`; ``size``: pixels of a side."""

    size: int

    def positions(self, stride: int) -> int:
        return (self.size // stride) ** 2


class Captioner(AttendingDecoder):
    """See the module. An encoder without weights to train stays as it is."""

    config: CaptionerConfig

    def __init__(self, config: CaptionerConfig, seeing: Seeing, unknown: int = 0) -> None:
        super().__init__(config, unknown)
        self.seeing = seeing
        self.frozen = not any(parameter.requires_grad for parameter in seeing.parameters())
        self.values = nn.Linear(seeing.features, config.values)
        self.keys = nn.Linear(config.values, config.attention, bias=False)
        self.start = nn.Linear(config.values, self.row_size)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.seeing.eval()
        return self

    def see(self, pictures: Tensor) -> Tensor:
        """``[batch, 3, size, size]`` to the grid ``[batch, positions, features]``."""
        grid: Tensor = self.seeing(pictures)
        return grid.flatten(2).transpose(1, 2)

    def encode(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Grids ``[batch, positions, features]`` to rows, and what is attended to.

        Returns:
            ``[batch, row_size]``, and keys before values ``[batch, positions, width]``.
        """
        values = self.values(grid)
        keys = self.keys(values) * self.config.attention**-0.5
        row = torch.tanh(self.start(values.mean(dim=1))).float()
        return row, torch.cat([keys, values], dim=2).float()

    def noisy(self, attended: Tensor) -> Tensor:
        """What is attended to with features of its values dropped, for training."""
        config = self.config
        keys, values = torch.split(attended, [config.attention, config.values], dim=2)
        return torch.cat([keys, locked_dropout(values, config.dropout / 2, self.training)], dim=2)


class Encoder(PartOfNet[Captioner]):
    """The encoder of a :class:`Captioner`, of the exportable form."""

    max_length: int | None = None

    def __init__(self, net: Captioner) -> None:
        super().__init__(net)
        self.input_shape: tuple[int, ...] = (3, net.config.size, net.config.size)
        self.attended_length: int | None = net.config.positions(net.seeing.stride)

    def __call__(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self._net.encode(self._net.see(x))

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Rows ``[batch, row_size]``, and keys and values ``[batch, positions, width]``."""
        net = self._net
        grid = net.seeing.emit(g, x)
        # The mean of what a linear layer makes is what it makes of the mean.
        mean = g.op("Flatten", g.op("GlobalAveragePool", grid))
        start = g.linear(g.linear(mean, net.values.weight, net.values.bias), net.start.weight, net.start.bias)
        row = g.op("Tanh", start)
        places = g.op("Reshape", grid, g.ints(0, net.seeing.features, self.attended_length or 0))
        values = g.linear(g.op("Transpose", places, perm=[0, 2, 1]), net.values.weight, net.values.bias)
        keys = g.linear(values, net.keys.weight * net.config.attention**-0.5)
        return row, g.op("Concat", keys, values, axis=2)
