"""Tensors to and from the wire: JSON, and the bytes of the binary tensor data extension.

Numbers are little-endian, row-major, without padding; an element of ``BYTES`` is four bytes of length
and then itself. Every size is checked against the shape and against what is there before
anything is allocated, so what a request can make the server hold is bounded by its body.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.core.tensor import DTYPES, Tensor, TensorSpec, objects
from app.protocols.oip.schema import InputTensor

_LENGTH = struct.Struct("<I")
_KINDS: dict[str, frozenset[type]] = {
    "BYTES": frozenset({str}),
    "FP32": frozenset({int, float, type(None)}),
    "FP64": frozenset({int, float, type(None)}),
    "INT32": frozenset({int}),
    "INT64": frozenset({int}),
}
_ELEMENTS = {"BYTES": "texts", "FP32": "numbers", "FP64": "numbers", "INT32": "integers", "INT64": "integers"}


def decode(
    inputs: Sequence[InputTensor], binary: memoryview, specs: Sequence[TensorSpec]
) -> dict[str, Tensor]:
    """The tensors of a request, by name.

    Args:
        inputs: as they were sent.
        binary: what came behind the JSON, of all inputs that say so, in their order.
        specs: the inputs of the model.

    Raises:
        InvalidInput: an input is unknown, missing, twice there or not what it says.
    """
    known = {spec.name: spec for spec in specs}
    found: dict[str, Tensor] = {}
    place = 0
    for one in inputs:
        spec = known.get(one.name)
        if spec is None:
            names = ", ".join(known)
            raise InvalidInput("inputs", f"unexpected inference input {one.name!r}; the model has {names}")
        if one.name in found:
            raise InvalidInput("inputs", f"input {one.name!r} is given more than once")
        _check(one, spec)
        size = _binary_size(one, len(binary) - place)
        if size is None:
            array = _from_json(one)
        else:
            array = _from_bytes(one, binary[place : place + size])
            place += size
        found[one.name] = Tensor(one.name, _datatype(one, spec), array)
    if place != len(binary):
        raise InvalidInput(
            "inputs", f"{len(binary) - place} bytes of binary data are left over behind those of the inputs"
        )
    return found


def raw_input(spec: TensorSpec, binary: memoryview) -> InputTensor:
    """The only input of a request whose whole body is its data: one text, or one row of numbers.

    Raises:
        InvalidInput: the body is not a whole number of elements.
    """
    if spec.datatype == "BYTES":
        return InputTensor(name=spec.name, datatype="BYTES", shape=[1], data=[utf8(binary, spec.name)])
    width = DTYPES[spec.datatype].itemsize
    if not len(binary) or len(binary) % width:
        raise InvalidInput(
            "body", f"a raw body of {spec.datatype} has a multiple of {width} bytes, not {len(binary)}"
        )
    return InputTensor(
        name=spec.name,
        datatype=spec.datatype,
        shape=[1, len(binary) // width],
        parameters={"binary_data_size": len(binary)},
    )


def utf8(data: bytes | memoryview, name: str) -> str:
    """A text of a ``BYTES`` element.

    Raises:
        InvalidInput: it is not UTF-8.
    """
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("inputs", f"an element of input {name!r} is not UTF-8") from error


def encode(tensor: Tensor, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output for the answer's JSON, and the bytes that follow behind it, if any.

    In JSON a number that is not finite is null.
    """
    array = np.ascontiguousarray(tensor.array)
    shown: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(array.shape),
    }
    if binary:
        data = (
            _packed(array) if tensor.datatype == "BYTES" else array.astype(DTYPES[tensor.datatype]).tobytes()
        )
        shown["parameters"] = {**tensor.parameters, "binary_data_size": len(data)}
        return shown, data
    if tensor.parameters:
        shown["parameters"] = dict(tensor.parameters)
    flat = array.ravel()
    shown["data"] = [str(one, "utf-8") for one in flat] if tensor.datatype == "BYTES" else flat
    return shown, b""


def _packed(array: NDArray[Any]) -> bytes:
    return b"".join(chain.from_iterable((_LENGTH.pack(len(one)), one) for one in array.ravel()))


def _check(one: InputTensor, spec: TensorSpec) -> None:
    if one.datatype not in (spec.datatype, *spec.also):
        raise InvalidInput(
            "inputs",
            f"inference input {spec.name!r} data-type is {one.datatype!r}, but the model expects "
            f"{' or '.join(repr(name) for name in (spec.datatype, *spec.also))}",
            allowed=[spec.datatype, *spec.also],
        )
    if "shared_memory_region" in one.parameters:
        raise InvalidInput("inputs", f"input {one.name!r}: shared memory is not served here; send the data")


def _datatype(one: InputTensor, spec: TensorSpec) -> Any:
    return one.datatype if one.datatype in spec.also else spec.datatype


def _binary_size(one: InputTensor, left: int) -> int | None:
    size = one.parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidInput(
            "inputs", f"input {one.name!r}: binary_data_size is a whole number of bytes, 0 or more"
        )
    if one.data is not None:
        raise InvalidInput(
            "inputs", f"input {one.name!r} has both data and binary_data_size; send one of them"
        )
    if size > left:
        raise InvalidInput(
            "inputs",
            f"input {one.name!r} says that {size} bytes of binary data follow, but there are {left}; "
            "the header Inference-Header-Content-Length says where the JSON ends",
        )
    return size


def _from_bytes(one: InputTensor, data: memoryview) -> NDArray[Any]:
    count = prod(one.shape)
    if one.datatype == "BYTES":
        return _unpacked(one, data, count)
    dtype = DTYPES[one.datatype]  # type: ignore[index]  # it was checked against the model's
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(
            "inputs",
            f"input {one.name!r} got unexpected byte size {len(data)}, expected {count * dtype.itemsize} for "
            f"{one.datatype} of shape {one.shape}",
        )
    return np.frombuffer(data, dtype).reshape(one.shape)


def _unpacked(one: InputTensor, data: memoryview, count: int) -> NDArray[Any]:
    if count * _LENGTH.size > len(data):
        raise InvalidInput(
            "inputs",
            f"input {one.name!r} got unexpected byte size {len(data)}, too short for {count} BYTES",
        )
    elements: list[bytes] = []
    place = 0
    while place < len(data) and len(elements) < count:
        if place + _LENGTH.size > len(data):
            raise InvalidInput("inputs", f"input {one.name!r}: its binary data ends within a length")
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if length > len(data) - place:
            raise InvalidInput(
                "inputs",
                f"input {one.name!r}: element {len(elements)} says that it has {length} bytes, "
                f"but {len(data) - place} are left",
            )
        elements.append(bytes(data[place : place + length]))
        place += length
    if len(elements) != count or place != len(data):
        raise InvalidInput(
            "inputs", f"input {one.name!r}: its binary data is not the {count} elements of shape {one.shape}"
        )
    return objects(elements).reshape(one.shape)


def _from_json(one: InputTensor) -> NDArray[Any]:
    if one.data is None:
        raise InvalidInput("inputs", f"input {one.name!r} has no data, and no binary_data_size either")
    flat = _flat(one, one.data)
    kinds = set(map(type, flat))
    if not kinds <= _KINDS[one.datatype]:
        raise InvalidInput(
            "inputs", f"input {one.name!r}: the data of {one.datatype} are {_ELEMENTS[one.datatype]}"
        )
    try:
        if one.datatype == "BYTES":
            return objects([text.encode() for text in flat]).reshape(one.shape)
        dtype = DTYPES[one.datatype]  # type: ignore[index]
        with np.errstate(over="ignore"):  # beyond FP32 it is infinite, which each task refuses
            return np.array(flat, dtype).reshape(one.shape)
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(
            "inputs", f"input {one.name!r}: an element is not one of {one.datatype}"
        ) from error


def _flat(one: InputTensor, data: list[Any]) -> list[Any]:
    """The elements in row-major order, of data that is flat or nested as the shape says."""
    level = data
    if data and type(data[0]) is list:
        for axis, size in enumerate(one.shape[1:], 1):
            if len(level) != prod(one.shape[:axis]) or any(
                type(row) is not list or len(row) != size for row in level
            ):
                raise InvalidInput(
                    "inputs", f"input {one.name!r}: its nested data does not have the shape {one.shape}"
                )
            level = list(chain.from_iterable(level))
    if len(level) != prod(one.shape):
        raise InvalidInput(
            "inputs",
            f"input {one.name!r}: {len(level)} elements of data, but {prod(one.shape)} of shape {one.shape}",
        )
    return level
