"""What evaluation asks of a network over tokens; the exported graph offers the same."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class TokenNet(Protocol):
    """A language model or classifier: PyTorch's, or :class:`training.graph_net.GraphNet`."""

    @property
    def device(self) -> torch.device:
        """Where its tensors live."""

    def start_row(self) -> Tensor:
        """The row ``[row_size]`` that a sequence begins with."""

    def __call__(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs ``[batch, time - head_from, ...]`` and next rows of tokens ``[batch, time]``."""
