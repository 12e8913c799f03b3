"""The recurrent stack: PyTorch's own numbers, a packed row, and standard operators."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from training.cells import Cell, RecurrentStack
from training.graph import Graph

cells = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])


@cells
def test_the_stack_is_pytorchs_module_with_its_state_in_a_row(cell: Cell) -> None:
    """From a zero row, outputs and last states are those of the plain module."""
    torch.manual_seed(0)
    stack = RecurrentStack(cell, 3, 5, 2)
    x = torch.randn(4, 7, 3)
    y, row = stack(x, torch.zeros(4, stack.size))
    expected, last = stack.layers(x)
    torch.testing.assert_close(y, expected)
    parts = last if isinstance(last, tuple) else (last,)
    for layer in range(2):
        for index, part in enumerate(parts):
            offset = (layer * len(parts) + index) * 5
            torch.testing.assert_close(row[:, offset : offset + 5], part[layer])


@cells
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9))
def test_whole_equals_chunked(cell: Cell, cut: int) -> None:
    """Carrying the row over a cut changes nothing."""
    torch.manual_seed(1)
    stack = RecurrentStack(cell, 2, 4, 2)
    x, row = torch.randn(3, 10, 2), torch.randn(3, stack.size)
    whole, last = stack(x, row)
    first, middle = stack(x[:, :cut], row)
    second, end = stack(x[:, cut:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, last)


@cells
def test_fields_cover_the_row(cell: Cell) -> None:
    """Each layer's h, and c where there is one, in order."""
    stack = RecurrentStack(cell, 2, 4, 3)
    names = [name for name, _ in stack.fields()]
    assert sum(shape[0] for _, shape in stack.fields()) == stack.size
    assert names[:2] == (["layer0.h", "layer0.c"] if cell == "lstm" else ["layer0.h", "layer1.h"])


@cells
def test_only_standard_recurrent_operators_are_written(cell: Cell) -> None:
    """One operator a layer, and no loop."""
    stack, g = RecurrentStack(cell, 2, 4, 3), Graph("test")
    x = g.input("x", TensorProto.FLOAT, ["batch", "time", 2])
    state = g.input("state", TensorProto.FLOAT, ["batch", stack.size])
    y, after = stack.emit(g, x, state)
    g.output("y", y, ["batch", "time", 4])
    g.output("state_out", after, ["batch", stack.size])
    kinds = [node.op_type for node in g.model().graph.node]
    assert kinds.count(cell.upper()) == 3
    assert not {"Loop", "Scan", "If"} & set(kinds)
