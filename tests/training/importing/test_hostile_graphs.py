"""Files that somebody else has made end in one sentence, in bounded time and memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from app.core.errors import ConfigurationError, InvalidManifest, RnnserveError
from tests.e2e.forked import completed
from tests.e2e.server import REPOSITORY
from tests.training.importing.foreign import Imported

KERAS = Path(__file__).parent / "keras_lstm.onnx"


def graph(
    nodes: list[onnx.NodeProto],
    *,
    state: int = TensorProto.FLOAT,
    weights: tuple[onnx.TensorProto, ...] = (),
    domain: str = "",
) -> onnx.ModelProto:
    """``x [batch, time, 2]`` and ``h [batch, 2]`` to ``y`` and ``h_out``, by some nodes."""

    def info(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    made = helper.make_graph(
        nodes,
        "made",
        [info("x", ["batch", "time", 2]), info("h", ["batch", 2], state)],
        [info("y", ["batch", "time", 2]), info("h_out", ["batch", 2], state)],
        list(weights),
    )
    imports = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=imports, ir_version=9)


def plain() -> list[onnx.NodeProto]:
    """Nodes that do no harm."""
    return [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["h"], ["h_out"])]


def external() -> onnx.ModelProto:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/etc/passwd")
    return graph(plain(), weights=(weight,))


def foreign() -> onnx.ModelProto:
    node = helper.make_node("ReadFile", ["x"], ["y"], domain="evil.ops")
    return graph([node, plain()[1]], domain="evil.ops")


def foreign_in_a_subgraph() -> onnx.ModelProto:
    inside = helper.make_graph(
        [helper.make_node("ReadFile", ["x"], ["z"], domain="evil.ops")],
        "inside",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    condition = numpy_helper.from_array(np.array(True), "condition")
    node = helper.make_node("If", ["condition"], ["y"], then_branch=inside, else_branch=inside)
    return graph([node, plain()[1]], weights=(condition,), domain="evil.ops")


def escaping() -> onnx.ModelProto:
    """A subgraph that reads what is nowhere."""
    inside = helper.make_graph(
        [helper.make_node("Identity", ["nowhere"], ["z"])],
        "inside",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    condition = numpy_helper.from_array(np.array(True), "condition")
    node = helper.make_node("If", ["condition"], ["y"], then_branch=inside, else_branch=inside)
    return graph([node, plain()[1]], weights=(condition,))


def endless() -> onnx.ModelProto:
    """A loop that never ends."""
    ones = numpy_helper.from_array(np.array(2**62), "most"), numpy_helper.from_array(np.array(True), "go")
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Neg", ["v"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["batch", "time", 2]),
        ],
        [
            helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, ["batch", "time", 2]),
        ],
    )
    return graph([helper.make_node("Loop", ["most", "go", "x"], ["y"], body=body), plain()[1]], weights=ones)


def huge() -> onnx.ModelProto:
    """One that asks for 64 TiB."""
    size = numpy_helper.from_array(np.array([2**24, 2**20], np.int64), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["x", "zero"], ["y"]),
        plain()[1],
    ]
    return graph(nodes, weights=(size,))


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (external, InvalidManifest, "external data"),
        (foreign, InvalidManifest, "operator 'ReadFile' of 'evil.ops'"),
        (foreign_in_a_subgraph, InvalidManifest, "operator 'ReadFile' of 'evil.ops'"),
        (escaping, InvalidManifest, "no valid ONNX model|cannot be loaded"),
        (lambda: graph([]), InvalidManifest, "no ONNX graph"),
        (lambda: graph(plain(), state=TensorProto.INT64), RnnserveError, "state|steps"),
    ],
)
def test_a_graph_that_no_bundle_can_hold_is_refused(
    tmp_path: Path, make: Any, kind: type[RnnserveError], said: str
) -> None:
    """Before ONNX Runtime has seen it, where that would open files or load code."""
    path = tmp_path / "made.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(kind, match=said):
        Imported(path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 4600), st.binary(min_size=1, max_size=12))
def test_a_damaged_file_ends_in_one_sentence(tmp_path: Path, place: int, noise: bytes) -> None:
    """Other bytes anywhere: an error of ours, or a bundle that says what the damaged file says."""
    data = KERAS.read_bytes()
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data[:place] + noise + data[place + len(noise) :])
    with contextlib.suppress(RnnserveError):
        Imported(path, tmp_path / "models")


def command(model: Path, models: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """``rnnserve models import``."""
    models.mkdir(exist_ok=True)
    words = ["models", "import", str(model), "--name", "foreign", "--models", str(models), *more]
    return completed(words, os.environ, REPOSITORY)


@pytest.mark.parametrize(
    ("make", "more", "said"),
    [
        (endless, ("--timeout-s", "4"), "it took more than 4 s"),
        (huge, ("--memory-mb", "2048"), "it needs more memory"),
    ],
)
def test_the_command_ends_what_does_not_end_by_itself(
    tmp_path: Path, make: Any, more: tuple[str, ...], said: str
) -> None:
    """In a process of its own, with a deadline and so much memory."""
    path = tmp_path / "made.onnx"
    path.write_bytes(make().SerializeToString())
    began = time.monotonic()
    done = command(path, tmp_path / "models", *more)
    assert (done.returncode, time.monotonic() - began < 60) == (2, True)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "models").iterdir()) == []


def test_the_command_shows_its_guesses_and_adds_the_bundle(tmp_path: Path) -> None:
    """Verified in a process of its own; with options in a file; another of the same version is refused."""
    config = tmp_path / "import.toml"
    config.write_text(
        """
read = "last"
description = "Alarms."
[[columns]]
name = "a"
unit = "g"
mean = 1.0
[[columns]]
name = "b"
[[columns]]
name = "c"
[[outputs]]
graph = "y"
name = "alarm"
labels = ["off", "on"]
scores = "probabilities"
"""
    )
    models = tmp_path / "models"
    done = command(KERAS, models, "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert "state    h0 [" in done.stdout
    assert f"foreign@1 added: {models / 'foreign' / '1'}" in done.stdout
    imported = (models / "foreign" / "1" / "manifest.json").read_text()
    assert '"alarm"' in imported
    again = command(KERAS, models)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": "a,b"}, "--columns: a step of .* has not 2 numbers"),
        ({"state": ["h0:nowhere"]}, "is not INPUT:OUTPUT"),
        ({"state": ["h0:y"]}, "have not the same shape"),
        ({"state": ["h0:hn"]}, "all states with --state"),
        ({"input": "z"}, "no input 'z'"),
        ({"output": "y,z"}, "no output 'z'"),
        ({"labels": Path("nowhere.txt")}, "cannot read the labels"),
        ({"labels": ("a", "b", "c")}, "3 labels, but the output 'y' has 1 numbers"),
        ({"set": ["h0"]}, "is not NAME=NUMBER"),
        ({"set": ["sr=16000"]}, "no input 'sr'"),
        ({"time_axis": "7"}, "0 to 2, or none"),
        ({"time_axis": "x"}, "--time-axis"),
        ({"name": "No Name"}, "--name"),
        ({"steps": 3}, "--steps"),
        ({"samples": Path("nowhere.npy")}, "--samples: cannot read"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """With what there is."""
    with pytest.raises(ConfigurationError, match=said):
        Imported(KERAS, tmp_path, **options)
