"""What encoders that are a part of a network have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from torch import Tensor, nn

NetT = TypeVar("NetT", bound=nn.Module)


class PartOfNet(Generic[NetT]):
    """Of the form :class:`training.exportable.ExportableEncoder`, with all weights of its network."""

    def __init__(self, net: NetT) -> None:
        self._net = net

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self._net.named_parameters()

    def parameters(self) -> Iterator[nn.Parameter]:
        return self._net.parameters()

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        return self._net.named_buffers()

    def eval(self) -> nn.Module:
        return self._net.eval()

    def cpu(self) -> nn.Module:
        return self._net.cpu()
