"""What networks and encoders must offer to become a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from app.core.errors import ExportError
from training.cells import Cell, Nonlinearity
from training.graph import Graph


class Stack(Protocol):
    """The recurrent part of a network, as far as the manifest describes it."""

    cell: Cell
    nonlinearity: Nonlinearity
    num_layers: int
    hidden_size: int


class Weights(Protocol):
    """What has weights."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def named_buffers(self) -> Iterator[tuple[str, Tensor]]: ...


class Exportable(Weights, Protocol):
    """What a network must offer to become a bundle; the networks of the recipes do."""

    @property
    def recurrent(self) -> Stack:
        """Its recurrent layers."""

    @property
    def step_shape(self) -> tuple[int, ...]:
        """Shape of one step; empty for tokens."""

    @property
    def row_size(self) -> int:
        """Floats in the state row."""

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""

    def start_row(self) -> Tensor:
        """``[row_size]``, the row before the first step."""

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """Write the computation as ONNX nodes: outputs by name, and the next row."""

    def __call__(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """The same computation in PyTorch: outputs by name for steps ``head_from`` on, and the next row."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""

    def eval(self) -> nn.Module:
        """Turn dropout off."""

    def cpu(self) -> nn.Module:
        """Move the weights to the CPU."""


class ExportableEncoder(Weights, Protocol):
    """What reads a whole input once, before the network of the :class:`Exportable` form makes its first step.

    That network then takes what is attended to as well, where there is anything: its ``emit`` has the further
    arguments ``attended`` and ``attended_length``, names of tensors ``[batch, length, width]`` and int64
    ``[batch]``, and its ``__call__`` the tensors themselves, behind ``head_from``. Positions from
    ``attended_length`` on are padding: they must not reach any output or row.
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a whole input of numbers; empty for tokens."""

    @property
    def max_length(self) -> int | None:
        """Tokens that an input may have; ``None`` for numbers."""

    @property
    def attended_length(self) -> int | None:
        """Positions that are attended to; ``None``: as many as the input has tokens."""

    def emit(self, g: Graph, x: str, lengths: str) -> tuple[str, str | None]:
        """Write the computation as ONNX nodes: the row ``[batch, row_size]``, and what is attended to.

        Args:
            g: the graph under construction.
            x: int64 tokens ``[batch, length]``, or float32 ``[batch, *input_shape]``.
            lengths: int64 ``[batch]``, of tokens; an empty name for numbers.

        Returns:
            Names of the row, and of ``[batch, length, width]``; ``None`` where nothing is attended to.
        """

    def __call__(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The same computation in PyTorch."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""

    def eval(self) -> nn.Module:
        """Turn dropout off."""

    def cpu(self) -> nn.Module:
        """Move the weights to the CPU."""


def by_position(net: Exportable) -> tuple[str, ...]:
    """The outputs of a network whose last axis are the positions that it attends to: its ``by_position``."""
    return tuple(getattr(net, "by_position", ()))


def check_weights(net: Weights) -> None:
    """Raises ExportError, which names the first weight that is no float32, or not finite."""
    for name, value in (*net.named_parameters(), *net.named_buffers()):
        if not value.is_floating_point() and not value.is_complex():
            continue
        if value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix("torch.")
            raise ExportError(
                f"{name} is {kind}, and bundles compute in float32; call float() on the module first"
            )
        if value.is_meta:
            raise ExportError(f"{name} is on the device meta, and has no values")
        if not torch.isfinite(value).all():
            raise ExportError(
                f"{name} holds NaN or infinity: the training has diverged; export an earlier state"
            )
