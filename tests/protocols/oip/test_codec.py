"""Tensors on the wire: what goes out comes in again, and nothing malformed gets further than a message."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from app.core.errors import InvalidInput
from app.protocols.oip.codec import decode, encode, raw_input
from app.protocols.oip.schema import InferRequest, InputTensor
from app.tasks.tensor_table import DTYPES, Datatype, Tensor, TensorInput

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
NUMBERS: tuple[Datatype, ...] = ("FP32", "FP64", "INT32", "INT64")


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any tensor that can be sent."""
    datatype: Datatype = draw(st.sampled_from(("BYTES", *NUMBERS)))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        count = int(np.prod(shape))
        elements = draw(st.lists(st.binary(max_size=12), min_size=count, max_size=count))
        return Tensor("x", "BYTES", np.array(elements, object).reshape(shape))
    return Tensor("x", datatype, draw(hnp.arrays(DTYPES[datatype], shape)))


def spec_of(tensor: Tensor) -> TensorInput:
    """An input that takes it."""
    return TensorInput("x", tensor.datatype, (-1,) * tensor.array.ndim)


def same(one: Tensor, other: Tensor) -> bool:
    """Equal to the bit, but for the bits of a NaN that went through JSON."""
    if one.datatype == "BYTES":
        return one.array.shape == other.array.shape and one.array.tolist() == other.array.tolist()
    return np.array_equal(one.array, other.array, equal_nan=one.datatype.startswith("FP"))


@given(tensors())
def test_binary_data_comes_back_as_it_was(tensor: Tensor) -> None:
    """Every type, every shape, every element, zeros at the end of a text included."""
    shown, data = encode(tensor, binary=True)
    assert shown["parameters"] == {"binary_data_size": len(data)}
    sent = InputTensor.model_validate_json(orjson.dumps(shown))
    found = decode([sent], memoryview(data), [spec_of(tensor)])["x"]
    assert found.datatype == tensor.datatype
    assert same(found, tensor)
    if tensor.datatype != "BYTES":
        assert found.array.tobytes() == tensor.array.tobytes()


@given(tensors(), st.booleans())
def test_json_comes_back_as_it_was(tensor: Tensor, nested: bool) -> None:
    """Flat and nested; a number that is not finite becomes null, and that NaN."""
    if tensor.datatype == "BYTES":
        tensor = Tensor("x", "BYTES", np.array([one.hex().encode() for one in tensor.array.ravel()], object))
    shown, data = encode(tensor, binary=False)
    assert data == b""
    wire = orjson.loads(orjson.dumps(shown, option=orjson.OPT_SERIALIZE_NUMPY))
    if nested and tensor.datatype != "BYTES":
        wire["data"] = np.array(wire["data"], object).reshape(tensor.array.shape).tolist()
    sent = InputTensor.model_validate_json(orjson.dumps(wire))
    expected = tensor
    if tensor.datatype.startswith("FP"):
        expected = Tensor("x", tensor.datatype, np.where(np.isinf(tensor.array), np.nan, tensor.array))
    assert same(decode([sent], memoryview(b""), [spec_of(tensor)])["x"], expected)


@given(
    st.sampled_from(("BYTES", *NUMBERS, "FP16", "BOOL", "")),
    st.lists(st.integers(-2, 2**40), max_size=9),
    st.one_of(st.none(), st.integers(-5, 2**70), st.text(max_size=3), st.booleans(), st.floats()),
    st.one_of(
        st.none(),
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4), st.lists),
    ),
    st.binary(max_size=64),
    st.sampled_from(("BYTES", *NUMBERS)),
)
def test_whatever_is_sent_is_read_or_refused(
    datatype: str, shape: list[int], size: Any, data: Any, binary: bytes, expected: Datatype
) -> None:
    """No shape, size, length or element gets past its check, and none raises anything else."""
    tensor: dict[str, Any] = {"name": "x", "shape": shape, "datatype": datatype}
    if size is not None:
        tensor["parameters"] = {"binary_data_size": size}
    if data is not None:
        tensor["data"] = data
    spec = TensorInput("x", expected, (-1,), also=("FP64",))
    try:
        request = InferRequest.model_validate({"inputs": [tensor]})
        found = decode(request.inputs, memoryview(binary), [spec])
    except (InvalidInput, ValidationError):
        return
    assert found["x"].array.shape == tuple(shape)
    assert found["x"].array.dtype == DTYPES[found["x"].datatype]


@given(st.binary(max_size=80), st.integers(1, 6))
def test_length_prefixes_never_reach_beyond_the_data(binary: bytes, count: int) -> None:
    """Elements of BYTES are read just if all lengths together are the data, and then they are its parts."""
    sent = InputTensor(
        name="x", shape=[count], datatype="BYTES", parameters={"binary_data_size": len(binary)}
    )
    try:
        found = decode([sent], memoryview(binary), [TensorInput("x", "BYTES", (-1,))])["x"]
    except InvalidInput:
        return
    assert b"".join(struct.pack("<I", len(one)) + one for one in found.array) == binary


@given(st.binary(max_size=40))
def test_a_raw_body_is_one_row_or_refused(body: bytes) -> None:
    """A multiple of the element's size, or UTF-8."""
    numbers, text = TensorInput("x", "FP32", (-1, -1)), TensorInput("x", "BYTES", (-1,))
    if body and len(body) % 4 == 0:
        sent = raw_input(numbers, memoryview(body))
        assert decode([sent], memoryview(body), [numbers])["x"].array.tobytes() == body
    else:
        with pytest.raises(InvalidInput, match="multiple of 4"):
            raw_input(numbers, memoryview(body))
    try:
        expected = body.decode()
    except UnicodeDecodeError:
        with pytest.raises(InvalidInput, match="UTF-8"):
            raw_input(text, memoryview(body))
    else:
        sent = raw_input(text, memoryview(body))
        assert decode([sent], memoryview(b""), [text])["x"].array.tolist() == [expected.encode()]


FP32 = TensorInput("x", "FP32", (-1, -1), also=("FP64",))
BYTES = TensorInput("x", "BYTES", (-1,))


@pytest.mark.parametrize(
    ("tensor", "binary", "spec", "message"),
    [
        (
            {"name": "y", "shape": [1], "datatype": "FP32", "data": [1]},
            b"",
            FP32,
            "unexpected inference input 'y'",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]},
            b"",
            FP32,
            "data-type is 'INT8', but the",
        ),
        (
            {"name": "x", "shape": [2], "datatype": "FP32", "data": [1]},
            b"",
            FP32,
            "1 elements of data, but 2",
        ),
        ({"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3]]}, b"", FP32, "nested data"),
        ({"name": "x", "shape": [2], "datatype": "FP32", "data": [1, "2"]}, b"", FP32, "are numbers"),
        ({"name": "x", "shape": [1], "datatype": "FP32", "data": [True]}, b"", FP32, "are numbers"),
        ({"name": "x", "shape": [1], "datatype": "FP32", "data": [10**400]}, b"", FP32, "not one of FP32"),
        ({"name": "x", "shape": [1], "datatype": "FP32"}, b"", FP32, "has no data"),
        (
            {"name": "x", "shape": [2], "datatype": "FP32", "size": 4},
            b"\0" * 4,
            FP32,
            "byte size 4, expected 8",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "FP32", "size": 4},
            b"\0" * 5,
            FP32,
            "1 bytes of binary data are",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "FP32", "size": 8},
            b"\0" * 4,
            FP32,
            "8 bytes of binary data follow",
        ),
        ({"name": "x", "shape": [1], "datatype": "FP32", "size": -4}, b"\0" * 4, FP32, "0 or more"),
        (
            {"name": "x", "shape": [1], "datatype": "FP32", "size": 4, "data": [1]},
            b"\0" * 4,
            FP32,
            "both data and",
        ),
        (
            {"name": "x", "shape": [2], "datatype": "BYTES", "size": 6},
            b"\1\0\0\0aa",
            BYTES,
            "too short for 2",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "BYTES", "size": 5},
            b"\2\0\0\0a",
            BYTES,
            "has 2 bytes, but 1",
        ),
        (
            {"name": "x", "shape": [1], "datatype": "BYTES", "size": 6},
            b"\1\0\0\0ab",
            BYTES,
            "not the 1 elements",
        ),
        (
            {"name": "x", "shape": [2], "datatype": "BYTES", "size": 8},
            b"\3\0\0\0abcd",
            BYTES,
            "within a length",
        ),
        ({"name": "x", "shape": [1], "datatype": "BYTES", "data": [1]}, b"", BYTES, "are texts"),
    ],
)
def test_what_is_wrong_is_said(
    tensor: dict[str, Any], binary: bytes, spec: TensorInput, message: str
) -> None:
    """Each mistake has its own sentence."""
    size = tensor.pop("size", None)
    parameters = {} if size is None else {"binary_data_size": size}
    sent = InputTensor.model_validate(tensor | {"parameters": parameters})
    with pytest.raises(InvalidInput, match=message):
        decode([sent], memoryview(binary), [spec])


def test_a_shape_costs_nothing_before_it_is_checked() -> None:
    """Dimensions whose product no memory holds are compared with the data, not allocated."""
    sent = InputTensor(name="x", shape=[2**31 - 1] * 8, datatype="FP32", data=[1.0])
    with pytest.raises(InvalidInput, match="1 elements of data"):
        decode([sent], memoryview(b""), [FP32])
