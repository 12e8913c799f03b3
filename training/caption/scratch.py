"""A small convolutional encoder for those who have no trained one: it is trained with the decoder."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from training.caption.convolution import Convolution

if TYPE_CHECKING:
    from training.graph import Graph

_CHANNELS = (3, 32, 64, 128, 256)


class Scratch(nn.Module):
    """Pictures ``[batch, 3, size, size]`` to ``[batch, 256, size / 16, size / 16]``."""

    features = _CHANNELS[-1]
    stride = 2 ** (len(_CHANNELS) - 1)

    def __init__(self) -> None:
        super().__init__()
        layers = []
        for inputs, outputs in pairwise(_CHANNELS):
            layers += [Convolution(inputs, outputs, 3, 2), Convolution(outputs, outputs, 3)]
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            nn.init.kaiming_normal_(layer.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y

    def emit(self, g: Graph, x: str) -> str:
        for layer in self.layers:
            assert isinstance(layer, Convolution)
            x = layer.emit(g, x)
        return x
