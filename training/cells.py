"""A stack of recurrent layers whose whole state is one row per sequence.

``RecurrentStack`` is ``torch.nn.RNN``, ``LSTM`` or ``GRU`` behind one signature,
``forward(x, state) -> (y, state)``, and writes itself as the standard ONNX operators. The
state is always an argument; nothing is remembered between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from app.core.errors import ExportError

if TYPE_CHECKING:
    from training.graph import Graph

Cell = Literal["rnn", "lstm", "gru"]
Nonlinearity = Literal["tanh", "relu"]

# ONNX stacks the gates of a layer in another order than PyTorch: LSTM i,o,f,c against i,f,g,o;
# GRU z,r,h against r,z,n (ONNX operator specification, LSTM-14 and GRU-14).
_GATE_ORDER: dict[str, tuple[int, ...]] = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}


CELLS: dict[type[nn.Module], Cell] = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}


class RecurrentStack(nn.Module):
    """One or more recurrent layers over ``[batch, time, features]``, batch first.

    Args:
        cell: ``rnn`` (Elman), ``lstm`` (Hochreiter & Schmidhuber 1997, with forget gate) or
            ``gru`` (Cho et al. 2014, reset gate after the matrix product).
        input_size: features of a step.
        hidden_size: units of each layer.
        num_layers: layers, each fed by the one below.
        dropout: probability of dropping a unit between two layers while training.
        nonlinearity: of the ``rnn`` cell; the others ignore it.

    The row holds, layer by layer, ``h`` and (``lstm`` only) ``c``. ``start`` is the row that a new
    sequence begins with; it is learned.
    """

    start: Tensor

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        nonlinearity: Nonlinearity = "tanh",
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0
        layers: nn.RNNBase
        if cell == "rnn":
            layers = nn.RNN(
                input_size, hidden_size, num_layers, nonlinearity, batch_first=True, dropout=between
            )
        else:
            kind = nn.LSTM if cell == "lstm" else nn.GRU
            layers = kind(input_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self._hold(cell, nonlinearity, [layers])
        self.start = nn.Parameter(torch.zeros(self.size))

    @classmethod
    def of(cls, modules: Sequence[nn.RNNBase]) -> RecurrentStack:
        """Trained modules of one kind, bottom first, as they are; a sequence begins with zeros.

        Raises:
            ExportError: they are of several kinds, bidirectional, or have projections.
        """
        if any(module.bidirectional for module in modules):
            raise ExportError("a bidirectional layer reads the future, so it cannot be served step by step")
        if any(module.proj_size for module in modules):
            raise ExportError("layers with proj_size are not supported")
        cells = {CELLS[type(module)] for module in modules}
        kinds: set[Nonlinearity] = {getattr(module, "nonlinearity", "tanh") for module in modules}
        if len(cells) > 1 or len(kinds) > 1:
            raise ExportError(f"all recurrent layers must be of one kind, got {sorted(cells | kinds)}")
        stack = cls.__new__(cls)
        nn.Module.__init__(stack)
        stack._hold(cells.pop(), kinds.pop(), modules)
        stack.register_buffer("start", torch.zeros(stack.size), persistent=False)
        return stack

    def _hold(self, cell: Cell, nonlinearity: Nonlinearity, modules: Sequence[nn.RNNBase]) -> None:
        self.cell, self.nonlinearity = cell, nonlinearity
        self.layers, *above = modules
        self.above = nn.ModuleList(above)
        self.hidden_size = modules[-1].hidden_size
        self.num_layers = sum(module.num_layers for module in modules)

    @property
    def _modules_in_order(self) -> list[nn.RNNBase]:
        return [self.layers, *(cast(nn.RNNBase, module) for module in self.above)]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what one layer remembers."""
        return ("h", "c") if self.cell == "lstm" else ("h",)

    @property
    def size(self) -> int:
        """Floats in the row."""
        return sum(shape[0] for _, shape in self.fields())

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        sizes = [module.hidden_size for module in self._modules_in_order for _ in range(module.num_layers)]
        return [(f"layer{layer}.{part}", (size,)) for layer, size in enumerate(sizes) for part in self.parts]

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance by ``time`` steps.

        Args:
            x: ``[batch, time, input_size]``.
            state: ``[batch, size]``.

        Returns:
            The last layer's outputs ``[batch, time, hidden_size]`` and the next row.
        """
        after, offset = [], 0
        for module in self._modules_in_order:
            width = module.num_layers * len(self.parts) * module.hidden_size
            rows = state[:, offset : offset + width].reshape(len(x), module.num_layers, len(self.parts), -1)
            offset += width
            parts = [rows[:, :, index].transpose(0, 1).contiguous() for index in range(len(self.parts))]
            steps = x if module.batch_first else x.transpose(0, 1)
            y, last = module(steps, tuple(parts) if self.cell == "lstm" else parts[0])
            x = y if module.batch_first else y.transpose(0, 1)
            stacked = torch.stack(last if self.cell == "lstm" else (last,), dim=2)
            after.append(stacked.transpose(0, 1).reshape(len(x), width))
        return x, torch.cat(after, dim=1)

    def emit(self, g: Graph, x: str, state: str) -> tuple[str, str]:
        """Write the stack as ONNX nodes.

        Args:
            g: the graph under construction.
            x: tensor ``[batch, time, input_size]``.
            state: tensor ``[batch, size]``.

        Returns:
            Names of the outputs ``[batch, time, hidden_size]`` and the next row.
        """
        rows = iter(g.split(state, [shape[0] for _, shape in self.fields()], axis=1))
        y = g.op("Transpose", x, perm=[1, 0, 2])
        after: list[str] = []
        for module in self._modules_in_order:
            for layer in range(module.num_layers):
                parts = [next(rows) for _ in self.parts]
                y, parts = emit_layer(g, module, layer, y, parts, self.cell)
                after.extend(parts)
        return g.op("Transpose", y, perm=[1, 0, 2]), g.op("Concat", *after, axis=1)


def emit_layer(
    g: Graph, module: nn.RNNBase, layer: int, x: str, state: list[str], cell: Cell
) -> tuple[str, list[str]]:
    """Write one layer of a ``torch.nn`` recurrent module as one ONNX operator.

    Args:
        g: the graph under construction.
        module: where the weights are.
        layer: index of the layer.
        x: tensor ``[time, batch, features]`` (ONNX Runtime implements only this layout).
        state: tensors ``[batch, hidden]``: ``h`` and, for an LSTM, ``c``.
        cell: which operator.

    Returns:
        The outputs ``[time, batch, hidden]`` and the next ``h`` (and ``c``), each ``[batch, hidden]``.
    """
    hidden = module.hidden_size
    order = _GATE_ORDER[cell]

    def gates(name: str) -> np.ndarray:
        value = getattr(module, f"{name}_l{layer}").detach().cpu().numpy().astype(np.float32)
        return np.concatenate([value[gate * hidden : (gate + 1) * hidden] for gate in order])

    weights = [g.constant(gates("weight_ih")[None]), g.constant(gates("weight_hh")[None])]
    if module.bias:
        bias = np.concatenate([gates("bias_ih"), gates("bias_hh")])[None]
    else:
        bias = np.zeros((1, 2 * len(order) * hidden), np.float32)
    attributes: dict[str, object] = {"hidden_size": hidden}
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    if cell == "rnn":
        attributes["activations"] = ["Tanh" if getattr(module, "nonlinearity", "tanh") == "tanh" else "Relu"]
        # ONNX Runtime multiplies a single row by another kernel than two or more, and the results
        # differ in the last bit. One row of zeros beside the batch keeps it on the same kernel.
        x, state = pad_row(g, x, axis=1), [pad_row(g, part, axis=0) for part in state]
    initial = [g.unsqueeze(part, axis=0) for part in state]
    y, *after = g.ops(
        cell.upper(), x, *weights, g.constant(bias), "", *initial, num=1 + len(state), **attributes
    )
    y = g.squeeze(y, axis=1)
    parts = [g.squeeze(part, axis=0) for part in after]
    if cell == "rnn":
        y, parts = g.slice(y, 0, -1, axis=1), [g.slice(part, 0, -1, axis=0) for part in parts]
    return y, parts


def pad_row(g: Graph, x: str, axis: int) -> str:
    """Append one row of zeros along ``axis``."""
    like = g.slice(x, 0, 1, axis=axis)
    return g.op("Concat", x, g.op("Sub", like, like), axis=axis)
