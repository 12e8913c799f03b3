"""Two convolutions over mel bands: a vowel of a shorter vocal tract is shifted along them.

Each is a matrix product of neighbouring bands, and of two neighbours the greater stays. Steps do not mix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from training.graph import Graph

HOPS = 4
"""Frames of a step."""
BANDS = 40
FEATURES = BANDS + 1
"""Of a frame: its mel bands by their mean, so that loud and soft speech are alike, and the mean."""
_REACHES = (3, 2)
"""Bands to either side that each convolution sees."""
_KEPT = BANDS // 2 ** len(_REACHES)


class Front(nn.Module):
    """Normalised features ``[batch, time, HOPS, FEATURES]`` to ``[batch, time, hidden]``."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        first, second = (2 * reach + 1 for reach in _REACHES)
        self.first = nn.Linear(first * HOPS, channels)
        self.second = nn.Linear(second * channels, channels)
        self.joined = nn.Linear(_KEPT * channels + HOPS, hidden)

    def forward(self, x: Tensor) -> Tensor:
        found = x[..., :BANDS].transpose(2, 3)
        for reach, convolution in zip(_REACHES, (self.first, self.second), strict=True):
            bands = found.shape[2]
            padded = functional.pad(found, (0, 0, reach, reach))
            near = [padded[:, :, at : at + bands] for at in range(2 * reach + 1)]
            found = functional.relu(convolution(torch.cat(near, dim=3)))
            found = torch.maximum(found[:, :, ::2], found[:, :, 1::2])
        return functional.relu(self.joined(torch.cat([found.flatten(2), x[..., BANDS]], dim=2)))

    def emit(self, g: Graph, x: str) -> str:
        """The same as ONNX nodes."""
        found = g.op("Transpose", g.slice(x, 0, BANDS, axis=3), perm=[0, 1, 3, 2])
        bands = BANDS
        for reach, convolution in zip(_REACHES, (self.first, self.second), strict=True):
            padded = g.op("Pad", found, g.ints(0, 0, reach, 0, 0, 0, reach, 0))
            near = [g.slice(padded, at, at + bands, axis=2) for at in range(2 * reach + 1)]
            found = g.linear(g.op("Concat", *near, axis=3), convolution.weight, convolution.bias)
            bands, channels = bands // 2, len(convolution.weight)
            pairs = g.op("Reshape", g.op("Relu", found), g.ints(0, 0, bands, 2 * channels))
            found = g.op("Max", *g.split(pairs, [channels, channels], axis=3))
        levels = g.squeeze(g.slice(x, BANDS, None, axis=3), axis=3)
        found = g.op("Concat", g.op("Reshape", found, g.ints(0, 0, bands * channels)), levels, axis=2)
        return g.op("Relu", g.linear(found, self.joined.weight, self.joined.bias))
