"""A stack of recurrent layers whose whole state is one row per sequence.

``RecurrentStack`` is ``torch.nn.RNN``, ``LSTM`` or ``GRU`` behind one signature,
``forward(x, state) -> (y, state)``, and writes itself as the standard ONNX operators. The
state is always an argument; nothing is remembered between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    from training.graph import Graph

Cell = Literal["rnn", "lstm", "gru"]
Nonlinearity = Literal["tanh", "relu"]

# ONNX stacks the gates of a layer in another order than PyTorch: LSTM i,o,f,c against i,f,g,o;
# GRU z,r,h against r,z,n (ONNX operator specification, LSTM-14 and GRU-14).
_GATE_ORDER: dict[str, tuple[int, ...]] = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}


CELLS: dict[type[nn.Module], Cell] = {
    nn.RNN: "rnn",
    nn.LSTM: "lstm",
    nn.GRU: "gru",
    nn.RNNCell: "rnn",
    nn.LSTMCell: "lstm",
    nn.GRUCell: "gru",
}

PARTS: dict[Cell, tuple[str, ...]] = {"rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}
"""What one layer of a cell remembers."""


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
        self.layers = layers
        self.cell, self.nonlinearity = cell, nonlinearity
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.start = nn.Parameter(torch.zeros(self.size))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what one layer remembers."""
        return PARTS[self.cell]

    @property
    def size(self) -> int:
        """Floats in the row."""
        return sum(shape[0] for _, shape in self.fields())

    def fields(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of each part of the row, in row order."""
        layers = range(self.num_layers)
        return [(f"layer{layer}.{part}", (self.hidden_size,)) for layer in layers for part in self.parts]

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance by ``time`` steps.

        Args:
            x: ``[batch, time, input_size]``.
            state: ``[batch, size]``.

        Returns:
            The last layer's outputs ``[batch, time, hidden_size]`` and the next row.
        """
        return run_layers(self.layers, x, state)

    def emit(self, g: Graph, x: str, state: str) -> tuple[str, str]:
        """Write the stack as ONNX nodes.

        Args:
            g: the graph under construction.
            x: tensor ``[batch, time, input_size]``.
            state: tensor ``[batch, size]``.

        Returns:
            Names of the outputs ``[batch, time, hidden_size]`` and the next row.
        """
        parts = g.split(state, [shape[0] for _, shape in self.fields()], axis=1)
        y, after = emit_layers(g, self.layers, x, parts)
        return y, g.op("Concat", *after, axis=1)


def run_layers(module: nn.RNNBase, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """A recurrent module of ``torch.nn`` with its state as rows: layer by layer, ``h`` and for an LSTM ``c``.

    Args:
        module: in whatever layout it takes its steps.
        x: ``[batch, time, features]``.
        state: ``[batch, num_layers * parts * hidden]``.

    Returns:
        The last layer's outputs ``[batch, time, hidden]`` and the next rows.
    """
    lstm = isinstance(module, nn.LSTM)
    rows = state.reshape(len(x), module.num_layers, 1 + lstm, module.hidden_size)
    parts = [rows[:, :, index].transpose(0, 1).contiguous() for index in range(1 + lstm)]
    y, last = module(x if module.batch_first else x.transpose(0, 1), tuple(parts) if lstm else parts[0])
    after = torch.stack(last if lstm else (last,), dim=2).transpose(0, 1).reshape(len(x), -1)
    return y if module.batch_first else y.transpose(0, 1), after


def emit_layers(g: Graph, module: nn.Module, x: str, parts: Sequence[str]) -> tuple[str, list[str]]:
    """The same as ONNX nodes, for a module of :data:`CELLS`, be it layers or the cell of one.

    Args:
        g: the graph under construction.
        module: the layers.
        x: tensor ``[batch, time, features]``.
        parts: of the state, ``[batch, hidden]`` each.

    Returns:
        The outputs ``[batch, time, hidden]`` and the next parts.
    """
    initial = [g.unsqueeze(part, axis=0) for part in parts]
    y, after = emit_time_major(g, module, g.op("Transpose", x, perm=[1, 0, 2]), initial)
    return g.op("Transpose", y, perm=[1, 0, 2]), [g.squeeze(part, axis=0) for part in after]


def emit_time_major(g: Graph, module: nn.Module, x: str, parts: Sequence[str]) -> tuple[str, list[str]]:
    """The same, laid out as the operators have it.

    Args:
        g: the graph under construction.
        module: the layers.
        x: tensor ``[time, batch, features]``.
        parts: of the state, ``[1, batch, hidden]`` each.

    Returns:
        The outputs ``[time, batch, hidden]`` and the next parts.
    """
    cell, rest, after = CELLS[type(module)], iter(parts), []
    for suffix in suffixes(module):
        state = [next(rest) for _ in PARTS[cell]]
        x, state = emit_layer(g, module, suffix, x, state, cell)
        after += state
    return x, after


def suffixes(module: nn.Module) -> list[str]:
    """How the names of the weights of each layer end."""
    return [f"_l{layer}" for layer in range(module.num_layers)] if isinstance(module, nn.RNNBase) else [""]


def emit_layer(
    g: Graph, module: nn.Module, suffix: str, x: str, state: list[str], cell: Cell
) -> tuple[str, list[str]]:
    """Write one layer of a ``torch.nn`` recurrent module as one ONNX operator.

    Args:
        g: the graph under construction.
        module: where the weights are.
        suffix: of the names of the layer's weights.
        x: tensor ``[time, batch, features]`` (ONNX Runtime implements only this layout).
        state: tensors ``[1, batch, hidden]``: ``h`` and, for an LSTM, ``c``.
        cell: which operator.

    Returns:
        The outputs ``[time, batch, hidden]`` and the next ``h`` (and ``c``), each ``[1, batch, hidden]``.
    """
    weights, attributes = operator_of(g, module, [suffix], cell)
    if cell == "rnn":
        # ONNX Runtime multiplies a single row by another kernel than two or more, and the results
        # differ in the last bit. One row of zeros beside the batch keeps it on the same kernel.
        x, state = pad_row(g, x, axis=1), [pad_row(g, part, axis=1) for part in state]
    y, *after = g.ops(cell.upper(), x, *weights, "", *state, num=1 + len(state), **attributes)
    y = g.squeeze(y, axis=1)
    if cell == "rnn":
        y, *after = (g.slice(each, 0, -1, axis=1) for each in (y, *after))
    return y, after


def operator_of(
    g: Graph, module: nn.Module, directions: Sequence[str], cell: Cell
) -> tuple[list[str], dict[str, object]]:
    """Weights and attributes of the ONNX operator of one layer.

    Args:
        g: the graph under construction.
        module: where the weights are.
        directions: how the names of the layer's weights end, in one direction or in both.
        cell: which operator.

    Returns:
        Names of its ``W``, ``R`` and ``B``, and its attributes, but for the direction.
    """
    hidden: int = getattr(module, "hidden_size")  # noqa: B009  not of nn.Module
    order = _GATE_ORDER[cell]

    def gates(name: str) -> np.ndarray:
        value = getattr(module, name).detach().cpu().numpy().astype(np.float32)
        return np.concatenate([value[gate * hidden : (gate + 1) * hidden] for gate in order])

    inputs = np.stack([gates(f"weight_ih{suffix}") for suffix in directions])
    hiddens = np.stack([gates(f"weight_hh{suffix}") for suffix in directions])
    bias = np.zeros((len(directions), 2 * len(order) * hidden), np.float32)
    if module.bias:
        both = [(gates(f"bias_ih{suffix}"), gates(f"bias_hh{suffix}")) for suffix in directions]
        bias = np.stack([np.concatenate(pair) for pair in both])
    attributes: dict[str, object] = {"hidden_size": hidden}
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    if cell == "rnn":
        activation = "Tanh" if getattr(module, "nonlinearity", "tanh") == "tanh" else "Relu"
        attributes["activations"] = [activation] * len(directions)
    return [g.constant(inputs), g.constant(hiddens), g.constant(bias)], attributes


@torch.no_grad()
def set_weights(
    module: nn.RNNBase,
    suffix: str,
    cell: Cell,
    inputs: NDArray[np.float32],
    hiddens: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> None:
    """Set one layer from the ``W``, ``R`` and ``B`` of its ONNX operator; reverses :func:`operator_of`."""
    order = _GATE_ORDER[cell]
    parts = {"weight_ih": inputs[0], "weight_hh": hiddens[0]}
    parts["bias_ih"], parts["bias_hh"] = np.split(bias[0], 2)
    for name, value in parts.items():
        gates = np.split(value, len(order))
        theirs = np.concatenate([gates[order.index(gate)] for gate in range(len(order))])
        getattr(module, name + suffix).copy_(torch.from_numpy(theirs))


def pad_row(g: Graph, x: str, axis: int) -> str:
    """Append one row of zeros along ``axis``."""
    like = g.slice(x, 0, 1, axis=axis)
    return g.op("Concat", x, g.op("Sub", like, like), axis=axis)
