"""Tensors to and from the wire, as JSON and as binary tensor data, and as rows.

Sizes are checked before anything is allocated, so the body bounds what a request makes us hold.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.protocols.oip.schema import InputTensor
from app.tasks.tensor_table import DTYPES, Row, Tensor, TensorInput, TensorSpec

_LENGTH = struct.Struct("<I")
_NUMBERS: tuple[frozenset[type], str] = (frozenset({int, float, type(None)}), "numbers")
_INTEGERS = (frozenset({int}), "integers")
_ELEMENTS: dict[str, tuple[frozenset[type], str]] = {
    "BYTES": (frozenset({str}), "texts"),
    "FP32": _NUMBERS,
    "FP64": _NUMBERS,
    "INT32": _INTEGERS,
    "INT64": _INTEGERS,
}
"""What the elements of each are in JSON, and what people call them."""


def decode(
    inputs: Sequence[InputTensor], binary: memoryview, specs: Sequence[TensorInput]
) -> dict[str, Tensor]:
    """The tensors of a request, by name; ``binary`` came behind the JSON, of all inputs in their order."""
    known = {spec.name: spec for spec in specs}
    tensors: dict[str, Tensor] = {}
    start = 0
    for given in inputs:
        spec = known.get(given.name)
        if spec is None:
            names = ", ".join(known)
            raise _wrong(f"unexpected inference input {given.name!r}; the model has {names}")
        if given.name in tensors:
            raise _wrong(f"input {given.name!r} is given more than once")
        datatype = _datatype(given, spec)
        size = _binary_size(given, len(binary) - start)
        if size is None:
            array = _from_json(given)
        else:
            array = _from_bytes(given, binary[start : start + size])
            start += size
        tensors[given.name] = Tensor(given.name, datatype, array)
    if start != len(binary):
        raise _wrong(f"{len(binary) - start} bytes of binary data are left over behind those of the inputs")
    return tensors


def raw_input(spec: TensorSpec, binary: memoryview) -> InputTensor:
    """The only input of a request whose whole body is its data: one text, or one row of numbers."""
    if spec.datatype == "BYTES":
        return InputTensor(name=spec.name, datatype="BYTES", shape=[1], data=[_utf8(binary, spec.name)])
    width, size, datatype = DTYPES[spec.datatype].itemsize, len(binary), spec.datatype
    if not size or size % width:
        raise InvalidInput("body", f"a raw body of {datatype} has a multiple of {width} bytes, not {size}")
    parameters = {"binary_data_size": size}
    return InputTensor(name=spec.name, datatype=datatype, shape=[1, size // width], parameters=parameters)


def _utf8(data: bytes | memoryview, name: str) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise _wrong(f"an element of input {name!r} is not UTF-8") from error


def encode(tensor: Tensor, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output for the answer's JSON, where a number that is not finite is null, and the bytes behind it."""
    array = np.ascontiguousarray(tensor.array)
    shown: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(array.shape)}
    texts = tensor.datatype == "BYTES"
    flat = array.ravel()
    if binary:
        if texts:
            data = b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in flat))
        else:
            data = flat.astype(DTYPES[tensor.datatype]).tobytes()
        shown["parameters"] = {**tensor.parameters, "binary_data_size": len(data)}
        return shown, data
    if tensor.parameters:
        shown["parameters"] = dict(tensor.parameters)
    shown["data"] = [str(text, "utf-8") for text in flat] if texts else flat
    return shown, b""


def rows_of(inputs: Sequence[TensorInput], tensors: Mapping[str, Tensor]) -> tuple[TensorInput, list[Row]]:
    """The input that was given, one of the model's, and its rows."""
    if len(tensors) != 1:
        expected = ", or ".join(f"{spec.name!r}, of {spec.datatype}" for spec in inputs)
        names = [spec.name for spec in inputs]
        raise _wrong(f"expected one input: {expected}", allowed=names)
    (tensor,) = tensors.values()
    spec = next(spec for spec in inputs if spec.name == tensor.name)
    return spec, _texts(tensor) if spec.datatype == "BYTES" else _numbers(spec, tensor)


def _wrong(message: str, allowed: Any = None) -> InvalidInput:
    return InvalidInput("inputs", message, allowed=allowed)


def _datatype(given: InputTensor, spec: TensorInput) -> Any:
    read = [spec.datatype, *spec.also]
    if given.datatype not in read:
        raise _wrong(
            f"inference input {spec.name!r} data-type is {given.datatype!r}, but the model expects "
            f"{' or '.join(map(repr, read))}",
            allowed=read,
        )
    if "shared_memory_region" in given.parameters:
        raise _wrong(f"input {given.name!r}: shared memory is not served here; send the data")
    return given.datatype


def _binary_size(given: InputTensor, left: int) -> int | None:
    size, name = given.parameters.get("binary_data_size"), f"input {given.name!r}"
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise _wrong(f"{name}: binary_data_size is a whole number of bytes, 0 or more")
    if given.data is not None:
        raise _wrong(f"{name} has both data and binary_data_size; send one of them")
    if size > left:
        raise _wrong(
            f"{name} says that {size} bytes of binary data follow, but there are {left}; "
            "the header Inference-Header-Content-Length says where the JSON ends"
        )
    return size


def _from_bytes(given: InputTensor, data: memoryview) -> NDArray[Any]:
    datatype, shape, count = given.datatype, given.shape, prod(given.shape)
    unexpected = f"input {given.name!r} got unexpected byte size {len(data)}"
    dtype = DTYPES[datatype]
    if datatype == "BYTES":
        if count * _LENGTH.size > len(data):
            raise _wrong(f"{unexpected}, too short for {count} BYTES")
        return np.array(_unpacked(given, data, count), dtype).reshape(shape)
    expected = count * dtype.itemsize
    if len(data) != expected:
        raise _wrong(f"{unexpected}, expected {expected} for {datatype} of shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape)


def _unpacked(given: InputTensor, data: memoryview, count: int) -> list[bytes]:
    elements: list[bytes] = []
    start, name = 0, f"input {given.name!r}"
    while start < len(data) and len(elements) < count:
        if start + _LENGTH.size > len(data):
            raise _wrong(f"{name}: its binary data ends within a length")
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        left = len(data) - start
        if length > left:
            number = len(elements)
            raise _wrong(f"{name}: element {number} says that it has {length} bytes, but {left} are left")
        elements.append(bytes(data[start : start + length]))
        start += length
    if len(elements) != count or start != len(data):
        raise _wrong(f"{name}: its binary data is not the {count} elements of shape {given.shape}")
    return elements


def _from_json(given: InputTensor) -> NDArray[Any]:
    datatype, name = given.datatype, f"input {given.name!r}"
    if given.data is None:
        raise _wrong(f"{name} has no data, and no binary_data_size either")
    flat = _flat(given, given.data)
    kinds, people_say = _ELEMENTS[datatype]
    if not set(map(type, flat)) <= kinds:
        raise _wrong(f"{name}: the data of {datatype} are {people_say}")
    try:
        if datatype == "BYTES":
            flat = [text.encode() for text in flat]
        with np.errstate(over="ignore"):  # beyond FP32 it is infinite
            array: NDArray[Any] = np.array(flat, DTYPES[datatype])
    except (OverflowError, UnicodeEncodeError) as error:
        raise _wrong(f"{name}: an element is not one of {datatype}") from error
    return array.reshape(given.shape)


def _flat(given: InputTensor, data: list[Any]) -> list[Any]:
    """The elements in row-major order, of data that is flat or nested as the shape says."""
    level, shape, name = data, given.shape, f"input {given.name!r}"
    if data and type(data[0]) is list:
        for axis, size in enumerate(shape[1:], 1):
            regular = all(type(row) is list and len(row) == size for row in level)
            if not regular or len(level) != prod(shape[:axis]):
                raise _wrong(f"{name}: its nested data does not have the shape {shape}")
            level = list(chain.from_iterable(level))
    if len(level) != prod(shape):
        raise _wrong(f"{name}: {len(level)} elements of data, but {prod(shape)} of shape {shape}")
    return level


def _texts(tensor: Tensor) -> list[Row]:
    array = tensor.array
    if array.ndim > 2 or array.size != len(array):
        raise _unexpected(tensor, "[batch]")
    return [_utf8(text, tensor.name) for text in array.ravel()]


def _numbers(spec: TensorInput, tensor: Tensor) -> list[Row]:
    """Rows ``[time, ...]``, ``...`` being the shape of a step; of one row the batch may be left out."""
    axes = len(spec.shape)
    array = tensor.array[None] if tensor.array.ndim == axes - 1 else tensor.array
    if array.ndim != axes or array.shape[2:] != spec.shape[2:]:
        raise _unexpected(tensor, f"[{', '.join(['batch', 'time', *map(str, spec.shape[2:])])}]")
    if spec.largest is not None:
        largest = spec.largest
        if np.any(np.abs(array) > largest):
            raise _wrong(
                f"input {tensor.name!r}: a value is NaN where missing, else at most {largest:g} in magnitude",
                allowed={"min": -largest, "max": largest},
            )
        # The nearest number of FP32 may be a little larger.
        array = np.clip(array.astype(np.float64), -largest, largest)
    if array.dtype.kind == "f" and (missing := np.isnan(array)).any():
        array = array.astype(object)
        array[missing] = None
    rows: list[Row] = array.tolist()
    return rows


def _unexpected(tensor: Tensor, expected: str) -> InvalidInput:
    shape = list(tensor.array.shape)
    return _wrong(f"unexpected shape for input {tensor.name!r}. Expected {expected}, got {shape}")
