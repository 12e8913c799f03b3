"""What the usual exporters write is imported by one call, and says what the original says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.core.errors import ConfigurationError
from app.tasks.sequence.spec import SequenceSpec
from tests.training.importing.foreign import Imported

HERE = Path(__file__).parent
BOUND = 1e-5


class Sensors(nn.Module):
    """A classifier over three-axis windows, its state an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 16, 2, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of each step, and the next state."""
        y, (h, c) = self.rnn(x, (h0, c0))
        return self.head(y), h, c


class LastOnly(nn.Module):
    """The same with a GRU, and an output for the last step alone; time is the first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[batch, labels]`` and the next state."""
        y, h = self.rnn(x, h0)
        return self.head(y[-1]), h


class Names(nn.Module):
    """The RNN of PyTorch's tutorial on classifying names: a letter and a hidden vector in, both out."""

    def __init__(self) -> None:
        super().__init__()
        self.i2h = nn.Linear(57 + 128, 128)
        self.h2o = nn.Linear(128, 18)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Of one letter."""
        hidden = torch.tanh(self.i2h(torch.cat((input, hidden), 1)))
        return self.softmax(self.h2o(hidden)), hidden


def export_old(module: nn.Module, arguments: tuple[Tensor, ...], path: Path, axes: dict[str, Any]) -> None:
    """By tracing TorchScript."""
    names = list(axes)
    count = len(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            arguments,
            str(path),
            dynamo=False,
            input_names=names[:count],
            output_names=names[count:],
            dynamic_axes={name: named for name, named in axes.items() if named},
        )


BOTH = {0: "batch", 1: "time"}
STATE = {1: "batch"}


def test_a_classifier_of_pytorch(tmp_path: Path) -> None:
    """The exporter that traces: pairs and axes are guessed; equal however it is cut."""
    torch.manual_seed(0)
    module, path = Sensors(), tmp_path / "sensors.onnx"
    arguments = (torch.randn(2, 5, 3), torch.zeros(2, 2, 16), torch.zeros(2, 2, 16))
    axes = {"x": BOTH, "h0": STATE, "c0": STATE, "y": BOTH, "hn": STATE, "cn": STATE}
    export_old(module, arguments, path, axes)
    labels = tmp_path / "labels.txt"
    labels.write_text("still\nwalking\nrunning\nfalling\n")
    imported = Imported(path, tmp_path, columns="ax,ay,az", labels=labels)
    assert "state    h0 [2, batch, 16] comes back as hn [2, batch, 16]" in imported.said
    assert "batch axis 0, time axis 1" in imported.said
    steps = np.random.default_rng(1).standard_normal((5, 40, 3)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(steps), torch.zeros(2, 5, 16), torch.zeros(2, 5, 16))[0].numpy()
    for cuts in ((), (1, 2, 3), (17,), tuple(range(1, 40))):
        np.testing.assert_allclose(imported.run(steps, cuts), expected, atol=BOUND)
    manifest = imported.bundle.manifest
    assert (manifest.network.cell, manifest.network.layers) == ("lstm", 2)
    assert [(field.name, field.shape) for field in manifest.row.fields] == [("h0", (2, 16)), ("c0", (2, 16))]


def test_an_output_of_the_last_step_is_given_after_each(tmp_path: Path) -> None:
    """A graph that reads a window is run step by step; time first."""
    torch.manual_seed(0)
    module, path = LastOnly(), tmp_path / "last.onnx"
    axes = {"x": {0: "frames", 1: "n"}, "h0": {1: "n"}, "y": {0: "n"}, "hn": {1: "n"}}
    export_old(module, (torch.randn(5, 2, 3), torch.zeros(1, 2, 16)), path, axes)
    imported = Imported(path, tmp_path)
    assert "batch axis 1, time axis 0" in imported.said
    assert "steps one by one" in imported.said
    steps = np.random.default_rng(1).standard_normal((4, 9, 3)).astype(np.float32)
    found = imported.run(steps, (4,))
    for length in (1, 5, 9):
        with torch.no_grad():
            window = torch.from_numpy(steps[:, :length]).transpose(0, 1)
            expected = module(window, torch.zeros(1, 4, 16))[0].numpy()
        np.testing.assert_allclose(found[:, length - 1], expected, atol=BOUND)


def test_the_network_of_the_names_tutorial(tmp_path: Path) -> None:
    """A graph of one letter, one sequence and fixed sizes; letters become tokens."""
    torch.manual_seed(0)
    module, path = Names(), tmp_path / "names.onnx"
    nothing: dict[int, str] = {}
    axes = {"input": nothing, "hidden": nothing, "output": nothing, "hidden_out": nothing}
    export_old(module, (torch.zeros(1, 57), torch.zeros(1, 128)), path, axes)
    imported = Imported(path, tmp_path, one_hot=True)
    tokens = np.random.default_rng(1).integers(0, 57, (3, 11))
    found = imported.run(tokens, (3, 4))
    for row, sequence in enumerate(tokens):
        hidden = torch.zeros(1, 128)
        for place, token in enumerate(sequence):
            with torch.no_grad():
                said, hidden = module(nn.functional.one_hot(torch.tensor([token]), 57).float(), hidden)
            np.testing.assert_allclose(found[row, place], said[0].numpy(), atol=BOUND)
    assert "however a sequence is cut and batched" in imported.said


@pytest.mark.parametrize(
    ("name", "cell", "states"),
    [
        ("keras_gru", "other", 1),
        ("keras_lstm", "lstm", 2),
        ("dynamo_lstm", "lstm", 2),
        ("dynamo_gru", "gru", 1),
    ],
)
def test_recorded_exports(tmp_path: Path, name: str, cell: str, states: int) -> None:
    """Files of exporters that the tests do not install, and the answers of the network beside them.

    ``keras``: tf2onnx 1.17 from Keras 3.15, TensorFlow 2.21; docs/onnx-import.md shows the program. Its GRU
    is a loop, its LSTM the operator. ``dynamo``: ``torch.onnx.export(..., dynamo=True)`` of PyTorch 2.13 with
    onnxscript 0.7, two layers and a linear head.
    """
    imported = Imported(HERE / f"{name}.onnx", tmp_path, columns="a,b,c", scores="probabilities")
    recorded = np.load(HERE / f"{name}.npz", allow_pickle=False)
    for cuts in ((), (5, 6), tuple(range(1, 24))):
        np.testing.assert_allclose(imported.run(recorded["x"], cuts), recorded["y"], atol=BOUND)
    manifest = imported.bundle.manifest
    assert (manifest.network.cell, len(manifest.row.fields)) == (cell, states)


def test_what_bits_depend_on_is_recorded_and_can_be_had_away(tmp_path: Path) -> None:
    """The loop of Keras's GRU multiplies one row by another kernel than several."""
    plain = Imported(HERE / "keras_gru.onnx", tmp_path / "plain")
    assert plain.bundle.manifest.graph.depends_on == ("batch",)
    assert "--exact runs them one by one" in plain.said
    exact = Imported(HERE / "keras_gru.onnx", tmp_path / "exact", exact=True)
    assert exact.bundle.manifest.graph.depends_on == ()
    steps = np.random.default_rng(1).standard_normal((9, 30, 3)).astype(np.float32)
    whole = exact.run(steps)
    np.testing.assert_array_equal(whole, exact.run(steps, (1, 7, 29)))
    for row in range(9):
        np.testing.assert_array_equal(whole[row : row + 1], exact.run(steps[row : row + 1]))
    np.testing.assert_allclose(plain.run(steps), whole, atol=BOUND)


def test_a_network_that_reads_the_future_is_refused(tmp_path: Path) -> None:
    """Its answers to a sequence cut in two are others."""
    path = tmp_path / "both.onnx"
    axes = {
        "x": {0: "time", 1: "batch"},
        "h0": {1: "batch"},
        "y": {0: "time", 1: "batch"},
        "hn": {1: "batch"},
    }
    torch.manual_seed(0)
    export_old(nn.GRU(3, 8, bidirectional=True), (torch.zeros(5, 2, 3), torch.zeros(2, 2, 8)), path, axes)
    with pytest.raises(ConfigurationError, match="a bidirectional GRU, which looks at what comes later"):
        Imported(path, tmp_path)


def test_normalisation_and_units_are_a_part_of_the_graph(tmp_path: Path) -> None:
    """Readings go in as they are, missing ones among them; a number comes out in its unit."""
    torch.manual_seed(0)
    cell, path = nn.GRUCell(2, 4), tmp_path / "cell.onnx"
    axes = {name: {0: "batch"} for name in ("x", "h", "h_out")}
    export_old(cell, (torch.zeros(2, 2), torch.zeros(2, 4)), path, axes)
    columns = (
        {"name": "pressure", "unit": "hPa", "mean": 1000.0, "deviation": 10.0, "missing": True},
        {"name": "wind", "deviation": 2.0},
    )
    outputs = ({"graph": "h_out", "name": "heat", "unit": "°C", "mean": 20.0, "deviation": 4.0},)
    imported = Imported(path, tmp_path, columns=columns, outputs=outputs, clip=3.0)
    steps = np.array([[[1010, 4], [np.nan, 0], [1e6, -2]]], np.float32)
    fed = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, -1.0]])
    hidden = torch.zeros(1, 4)
    for place, row in enumerate(fed):
        with torch.no_grad():
            hidden = cell(row[None], hidden)
        np.testing.assert_allclose(imported.run(steps)[0, place], hidden[0] * 4 + 20, atol=1e-4)
    read = imported.bundle.manifest.spec_as(SequenceSpec).columns
    assert [column.missing for column in read] == [True, False]
