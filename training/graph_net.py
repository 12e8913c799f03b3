"""A bundle's graph behind the face of the network it was exported from, so that it can be measured."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from app.bundle.reader import Bundle
from app.runtime.session import GraphSession


class MeasuredNet(Protocol):
    """What measures ask of a network over tokens: PyTorch's own, or a :class:`GraphNet`."""

    @property
    def device(self) -> torch.device:
        """Where its tensors live."""

    def start_row(self) -> Tensor:
        """The row ``[row_size]`` that a sequence begins with."""

    def __call__(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs ``[batch, time - head_from, ...]`` and next rows of tokens ``[batch, time]``."""


class GraphNet:
    """Runs a verified bundle on the CPU.

    Args:
        bundle: what to run.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._session = GraphSession(bundle.graph, bundle.manifest)
        self._start = torch.from_numpy(bundle.start.copy())
        self.device = torch.device("cpu")

    def start_row(self) -> Tensor:
        return self._start

    def __call__(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Advance by ``time`` steps; see the networks' ``forward``."""
        outputs, after = self._session.run(
            np.ascontiguousarray(x.numpy().astype(self._session.dtype, copy=False)),
            np.ascontiguousarray(state.detach().numpy()),
            head_from,
        )
        named = zip(self._session.output_names, outputs, strict=True)
        return {name: torch.from_numpy(value) for name, value in named}, torch.from_numpy(after)
