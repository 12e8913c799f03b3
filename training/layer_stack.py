"""A user's layers, one behind the other, as a network whose whole state is one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from training.cells import CELLS, PARTS, Cell, Nonlinearity, emit_layers, run_layers, suffixes
from training.layers import LAYERS

if TYPE_CHECKING:
    from training.graph import Graph


@dataclass(slots=True)
class Shape:
    """Of the recurrent layers, for people: the kind and size of the last, and how many there are."""

    cell: Cell
    nonlinearity: Nonlinearity
    num_layers: int
    hidden_size: int


def refused_options(layer: nn.Module) -> str | None:
    """Why a layer of a known type cannot be served, and what to do instead; ``None`` if it can."""
    if type(layer) in LAYERS:
        return LAYERS[type(layer)].refused(layer)
    if getattr(layer, "bidirectional", False):
        return "bidirectional=True reads the future, so no step can be served; train it in one direction"
    if getattr(layer, "proj_size", 0):
        return f"proj_size={layer.proj_size} is not supported; put an nn.Linear behind the layer instead"
    return None


class LayerStack(nn.Module):
    """The network of the exportable form that :func:`training.user_module.export_module` makes.

    Args:
        layers: in the order in which a step passes them, each of ``LAYERS`` or ``CELLS``.
        starts: for each that is recurrent, the state a sequence begins with, packed as in the row.
        features: of a step; 0 if it is a token.
        output: name of what the last layer gives.

    The row holds, layer by layer, ``h`` and (LSTM only) ``c``.
    """

    start: Tensor

    def __init__(
        self, layers: Sequence[nn.Module], starts: Sequence[Tensor], features: int = 0, output: str = "logits"
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.step_shape: tuple[int, ...] = (features,) if features else ()
        self.output = output
        recurrent = [layer for layer in layers if type(layer) in CELLS]
        self._last = max(index for index, layer in enumerate(layers) if type(layer) in CELLS)
        last = recurrent[-1]
        self.recurrent = Shape(
            CELLS[type(last)],
            cast(Nonlinearity, getattr(last, "nonlinearity", "tanh")),
            sum(len(suffixes(layer)) for layer in recurrent),
            cast(int, last.hidden_size),
        )
        self.register_buffer("start", torch.cat([*starts]), persistent=False)

    @property
    def row_size(self) -> int:
        return self.start.numel()

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(f"layer{layer}.{part}", (size,)) for layer, (part, size) in self._parts()]

    def _parts(self) -> list[tuple[int, tuple[str, int]]]:
        """For each part of the row the number of its layer, its name and its size."""
        sizes = [
            (PARTS[CELLS[type(layer)]], cast(int, layer.hidden_size))
            for layer in self.layers
            if type(layer) in CELLS
            for _ in suffixes(layer)
        ]
        return [(index, (part, size)) for index, (parts, size) in enumerate(sizes) for part in parts]

    def start_row(self) -> Tensor:
        return self.start

    def forward(self, x: Tensor, state: Tensor, head_from: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Advance by ``time`` steps.

        Args:
            x: int64 ``[batch, time]`` or float32 ``[batch, time, features]``.
            state: ``[batch, row_size]``.
            head_from: first step whose output is computed.

        Returns:
            The output ``[batch, time - head_from, ...]`` and the next row.
        """
        after: list[Tensor] = []
        offset = 0
        for index, layer in enumerate(self.layers):
            if type(layer) in CELLS:
                width = row_width(layer)
                x, rows = run_recurrent(layer, x, state[:, offset : offset + width])
                offset += width
                after.append(rows)
                x = x[:, head_from:] if index == self._last else x
            else:
                x = LAYERS[type(layer)].run(layer, x)
        return {self.output: x}, torch.cat(after, dim=1)

    def emit(self, g: Graph, x: str, state: str, head_from: str) -> tuple[dict[str, str], str]:
        """The same as ONNX nodes."""
        parts = g.split(state, [size for _, (_, size) in self._parts()], axis=1)
        after: list[str] = []
        for index, layer in enumerate(self.layers):
            if type(layer) in CELLS:
                num = len(suffixes(layer)) * len(PARTS[CELLS[type(layer)]])
                x, rest = emit_layers(g, layer, x, parts[len(after) : len(after) + num])
                after += rest
                x = g.slice_time(x, head_from) if index == self._last else x
            else:
                x = LAYERS[type(layer)].emit(g, layer, x)
        return {self.output: x}, g.op("Concat", *after, axis=1)


def row_width(layer: nn.Module) -> int:
    """Floats of a recurrent layer's state."""
    return len(suffixes(layer)) * len(PARTS[CELLS[type(layer)]]) * cast(int, layer.hidden_size)


def run_recurrent(layer: nn.Module, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs ``[batch, time, hidden]`` and next rows of a module of ``CELLS``."""
    if isinstance(layer, nn.RNNBase):
        return run_layers(layer, x, state)
    lstm = isinstance(layer, nn.LSTMCell)
    parts = state.chunk(1 + lstm, dim=1)
    outputs = []
    for step in x.unbind(1):
        found = layer(step, tuple(parts) if lstm else parts[0])
        parts = found if lstm else (found,)
        outputs.append(parts[0])
    return torch.stack(outputs, dim=1), torch.cat(parts, dim=1)
