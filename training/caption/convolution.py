"""A convolution with its normalisation, padded as TensorFlow pads, in PyTorch and as ONNX nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from training.graph import Graph

_EPSILON = 1e-3
_MOST = 6.0


class Convolution(nn.Module):
    """``[batch, inputs, height, width]`` to ``[batch, outputs, height / stride, width / stride]``.

    Args:
        inputs, outputs: channels.
        kernel: pixels of a side.
        stride: pixels from one position to the next.
        groups: channels are parted into so many that do not see each other.
        clipped: whether what comes out lies between 0 and 6 (Krizhevsky 2010).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        clipped: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=_EPSILON)
        self._clipped = clipped

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        # What is missing is shared between both ends, and the odd one is behind.
        missing = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in x.shape[2:]]
        height, width = missing
        x = functional.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        if self.training:
            y = self.norm(self.conv(x))
        else:
            weight, bias = self.folded()
            y = functional.conv2d(x, weight, bias, stride, groups=self.conv.groups)
        return functional.hardtanh(y, 0.0, _MOST) if self._clipped else y

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the same convolution with the normalisation in them."""
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = self.conv.weight.double() * scale[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * scale
        return weight.float(), bias.float()

    def emit(self, g: Graph, x: str) -> str:
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        y = g.op(
            "Conv",
            *(x, *map(g.constant, self.folded())),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            group=self.conv.groups,
            auto_pad="SAME_UPPER",
        )
        return g.op("Clip", y, g.scalar(0.0), g.scalar(_MOST)) if self._clipped else y
