"""No graph reads a file that its bundle does not list, wherever in it a tensor says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from app.bundle.external_data import refuse_external_data
from app.bundle.reader import read_bundle
from app.core.errors import InvalidManifest
from tests.bundles import tiny_generator


def elsewhere(location: str = "state.key") -> TensorProto:
    """A tensor whose data is in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def told(graph: bytes) -> str:
    """Why it is refused; empty when it is not."""
    try:
        refuse_external_data(graph)
    except InvalidManifest as error:
        return error.message
    return ""


def field(number: int, data: bytes) -> bytes:
    """A message inside another one."""
    size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) if len(data) > 127 else bytes([len(data)])
    return bytes([number << 3 | 2]) + size + data


def body(*initializers: TensorProto) -> onnx.GraphProto:
    """A graph with nothing else in it."""
    return helper.make_graph([], "body", [], [], list(initializers))


def sparse(tensor: TensorProto) -> onnx.SparseTensorProto:
    """Of these values."""
    return onnx.SparseTensorProto(values=tensor, dims=[8])


def attributed(**attributes: Any) -> ModelProto:
    """A model of one node."""
    return helper.make_model(
        helper.make_graph([helper.make_node("Any", [], ["y"], **attributes)], "g", [], [])
    )


def in_a_function() -> ModelProto:
    """In a node of a function of the model."""
    node = helper.make_node("Constant", [], ["y"], value=elsewhere())
    function = helper.make_function("own", "F", [], ["y"], [node], [helper.make_opsetid("", 17)])
    return helper.make_model(body(), functions=[function])


def in_training() -> ModelProto:
    """In what only training would run."""
    model = helper.make_model(body())
    model.training_info.add().algorithm.CopyFrom(body(elsewhere()))
    return model


def only_said() -> ModelProto:
    """A location is given, and the data is said to be here."""
    tensor = elsewhere()
    tensor.data_location = TensorProto.DEFAULT
    return helper.make_model(body(tensor))


def nowhere() -> ModelProto:
    """No location, and the data is said to be elsewhere."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    return helper.make_model(body(tensor))


def sparse_initializer() -> ModelProto:
    """As the values of a sparse tensor."""
    graph = body()
    graph.sparse_initializer.append(sparse(elsewhere()))
    return helper.make_model(graph)


PLACES: dict[str, Callable[[], ModelProto]] = {
    "initializer": lambda: helper.make_model(body(elsewhere())),
    "absolute": lambda: helper.make_model(body(elsewhere("/etc/passwd"))),
    "in memory": lambda: helper.make_model(body(elsewhere("*/_ORT_MEM_ADDR_/*"))),
    "sparse": sparse_initializer,
    "attribute": lambda: attributed(value=elsewhere()),
    "attributes": lambda: attributed(values=[elsewhere()]),
    "sparse attribute": lambda: attributed(value=sparse(elsewhere())),
    "subgraph": lambda: attributed(then_branch=body(elsewhere())),
    "subgraphs": lambda: attributed(branches=[body(), body(elsewhere())]),
    "deep": lambda: attributed(body=attributed(body=attributed(body=body(elsewhere())).graph).graph),
    "function": in_a_function,
    "training": in_training,
    "only said": only_said,
    "nowhere": nowhere,
}


@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_refused_wherever_it_is(place: str) -> None:
    """Before ONNX Runtime sees the graph."""
    with pytest.raises(InvalidManifest, match="external data"):
        refuse_external_data(PLACES[place]().SerializeToString())


def test_a_graph_that_comes_in_parts_is_one(tmp_path: Path) -> None:
    """Protobuf merges a message that is there twice, so both are looked at."""
    good = helper.make_model(body()).SerializeToString()
    with pytest.raises(InvalidManifest, match="external data"):
        refuse_external_data(good + helper.make_model(body(elsewhere())).SerializeToString())


def test_what_the_exporter_writes_passes_and_its_parts_do_not_hang(tmp_path: Path) -> None:
    """A prefix is either refused or as harmless as the whole."""
    graph = read_bundle(tiny_generator(tmp_path)).graph
    refuse_external_data(graph)
    for end in range(0, len(graph), 97):
        assert "external" not in told(graph[:end])


@given(st.binary(max_size=400))
def test_any_bytes_are_told_about_in_one_sentence(data: bytes) -> None:
    """No other error, and an end."""
    assert told(data) == "" or told(data).startswith("the graph ")


def test_nesting_has_an_end() -> None:
    """As in protobuf's own parsers."""
    data = b""
    for number in [7, *[1, 5, 6] * 40][::-1]:
        data = field(number, data)
    assert "nested too deeply" in told(data)


def test_onnx_runtimes_own_format_is_refused() -> None:
    """Its tensors may lie elsewhere as well."""
    with pytest.raises(InvalidManifest, match="no ONNX model"):
        refuse_external_data(b"\x20\x00\x00\x00ORTM" + bytes(64))
