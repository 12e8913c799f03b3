"""Graphs as programs other than the usual exporters write them: imported, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from app.core.errors import ConfigurationError, InvalidManifest
from tests.training.importing.foreign import Imported
from tests.training.importing.test_exporters import BOTH, BOUND, STATE, Sensors, export_old

STEPS = np.random.default_rng(1).standard_normal((4, 12, 3)).astype(np.float32)
info = helper.make_tensor_value_info


class Step(nn.Module):
    """A cell and a head: one step, no time axis."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Of one step."""
        h = self.cell(x, h)
        return self.head(h), h


def save(
    path: Path,
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    **weights: NDArray[np.generic],
) -> Path:
    """A graph written by hand."""
    made = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def one_by_one(path: Path, before: str, after: str, start: NDArray[np.floating]) -> NDArray[np.floating]:
    """What the file itself says, each sequence alone, step by step."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    said = []
    for sequence in STEPS:
        state, rows = start, []
        for step in sequence:
            feeds = {"x": step[None].astype(start.dtype), before: state}
            row, state = session.run(["y", after], feeds)
            rows.append(row[0])
        said.append(rows)
    return np.array(said)


def test_names_that_say_nothing(tmp_path: Path) -> None:
    """States are found by their shapes, in their order; the axes by running the graph."""
    torch.manual_seed(0)
    module, path = Sensors(), tmp_path / "names.onnx"
    axes = {
        "blob_17": BOTH,
        "mem/A:0": STATE,
        "mem/B:0": STATE,
        "Identity": BOTH,
        "Identity_1": STATE,
        "Identity_2": STATE,
    }
    arguments = (torch.randn(2, 5, 3), torch.zeros(2, 2, 16), torch.zeros(2, 2, 16))
    export_old(module, arguments, path, axes)
    imported = Imported(path, tmp_path)
    assert "mem/B:0 [2, batch, 16] comes back as Identity_2" in imported.said
    with torch.no_grad():
        zeros = torch.zeros(2, len(STEPS), 16)
        expected = module(torch.from_numpy(STEPS), zeros, zeros)[0].numpy()
    np.testing.assert_allclose(imported.run(STEPS, (1, 7)), expected, atol=BOUND)


def test_lengths_of_the_sequences_are_given(tmp_path: Path) -> None:
    """An operator's ``sequence_lens`` as an input of the graph gets as many steps as there are."""
    random = np.random.default_rng(0)
    path = save(
        tmp_path / "lens.onnx",
        [
            helper.make_node("GRU", ["X", "W", "R", "", "lens", "h0"], ["Y", "hn"], hidden_size=8),
            helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        ],
        [
            info("X", TensorProto.FLOAT, ["time", "batch", 3]),
            info("lens", TensorProto.INT32, ["batch"]),
            info("h0", TensorProto.FLOAT, [1, "batch", 8]),
        ],
        [info("y", TensorProto.FLOAT, ["time", "batch", 8]), info("hn", TensorProto.FLOAT, [1, "batch", 8])],
        W=random.normal(0, 0.4, (1, 24, 3)).astype(np.float32),
        R=random.normal(0, 0.4, (1, 24, 8)).astype(np.float32),
        one=np.array([1]),
    )
    imported = Imported(path, tmp_path)
    assert "lens [batch] gets the number of steps" in imported.said
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {
        "X": STEPS.transpose(1, 0, 2),
        "lens": np.full(4, 12, np.int32),
        "h0": np.zeros((1, 4, 8), np.float32),
    }
    expected = session.run(["y"], feeds)[0].transpose(1, 0, 2)
    for cuts in ((), (1, 2, 9)):
        np.testing.assert_allclose(imported.run(STEPS, cuts), expected, atol=BOUND)


def test_states_of_twice_the_precision(tmp_path: Path) -> None:
    """They are kept as float32, and fed as the graph wants them; the answers stay within the bound."""
    random = np.random.default_rng(0)
    path = save(
        tmp_path / "double.onnx",
        [
            helper.make_node("MatMul", ["x", "W"], ["a"]),
            helper.make_node("MatMul", ["s", "U"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Tanh", ["c"], ["s_next"]),
            helper.make_node("Cast", ["s_next"], ["y"], to=TensorProto.FLOAT),
        ],
        [info("x", TensorProto.DOUBLE, ["N", 3]), info("s", TensorProto.DOUBLE, ["N", 4])],
        [info("y", TensorProto.FLOAT, ["N", 4]), info("s_next", TensorProto.DOUBLE, ["N", 4])],
        W=random.normal(0, 1, (3, 4)),
        U=random.normal(0, 0.3, (4, 4)),
    )
    expected = one_by_one(path, "s", "s_next", np.zeros((1, 4)))
    np.testing.assert_allclose(Imported(path, tmp_path).run(STEPS, (5,)), expected, atol=BOUND)


def test_numbers_that_depend_on_the_batch_are_computed_one_by_one(tmp_path: Path) -> None:
    """Dynamic quantisation scales by the largest number of a batch, so that a neighbour would count."""
    torch.manual_seed(0)
    plain, path = tmp_path / "step.onnx", tmp_path / "int8.onnx"
    rows = {0: "batch"}
    export_old(
        Step(), (torch.zeros(2, 3), torch.zeros(2, 8)), plain, {"x": rows, "h": rows, "y": rows, "hn": rows}
    )
    quantize_dynamic(str(plain), str(path), weight_type=QuantType.QInt8)
    imported = Imported(path, tmp_path)
    assert "rows one by one" in imported.said
    assert imported.bundle.manifest.graph.depends_on == ()
    expected = one_by_one(path, "h", "hn", np.zeros((1, 8), np.float32))
    np.testing.assert_allclose(imported.run(STEPS, (1, 6)), expected, atol=BOUND)


def test_what_cannot_be_served_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """A quantised LSTM is no standard operator; a counter is no floating-point state; no state is none."""
    torch.manual_seed(0)
    axes = {"x": BOTH, "h0": STATE, "c0": STATE, "y": BOTH, "hn": STATE, "cn": STATE}
    plain, path = tmp_path / "plain.onnx", tmp_path / "refused.onnx"
    arguments = (torch.randn(2, 5, 3), torch.zeros(2, 2, 16), torch.zeros(2, 2, 16))
    export_old(Sensors(), arguments, plain, axes)
    quantize_dynamic(str(plain), str(path), weight_type=QuantType.QInt8)
    with pytest.raises(InvalidManifest, match="the operator 'DynamicQuantizeLSTM' of"):
        Imported(path, tmp_path)
    save(
        path,
        [helper.make_node("Add", ["n", "one"], ["n_out"]), helper.make_node("Identity", ["x"], ["y"])],
        [info("x", TensorProto.FLOAT, ["N", 1]), info("n", TensorProto.INT64, ["N", 1])],
        [info("y", TensorProto.FLOAT, ["N", 1]), info("n_out", TensorProto.INT64, ["N", 1])],
        one=np.array([[1]]),
    )
    with pytest.raises(InvalidManifest, match=r"n \[N, 1\] is of int64; states and outputs are floating"):
        Imported(path, tmp_path)
    export_old(Sensors().double(), tuple(each.double() for each in arguments), path, axes)
    with pytest.raises(ConfigurationError, match=r"axis 1: LSTM operator does not support double yet$"):
        Imported(path, tmp_path)
