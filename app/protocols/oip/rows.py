"""A request's tensors as rows, the form in which a model's table takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.core.errors import InvalidInput
from app.core.tensor import Tensor, TensorInput
from app.protocols.oip.codec import utf8
from app.tasks.tensor_table import Row


def rows_of(inputs: Sequence[TensorInput], tensors: Mapping[str, Tensor]) -> tuple[TensorInput, list[Row]]:
    """The input that was given, one of the model's, and its rows.

    Raises:
        InvalidInput: there are several; its shape is another; a number is too large; a text is not UTF-8.
    """
    if len(tensors) != 1:
        expected = ", or ".join(f"{spec.name!r}, of {spec.datatype}" for spec in inputs)
        names = [spec.name for spec in inputs]
        raise InvalidInput("inputs", f"expected one input: {expected}", allowed=names)
    (tensor,) = tensors.values()
    spec = next(spec for spec in inputs if spec.name == tensor.name)
    return spec, _texts(tensor) if spec.datatype == "BYTES" else _numbers(spec, tensor)


def _texts(tensor: Tensor) -> list[Row]:
    array = tensor.array
    if array.ndim > 2 or array.size != len(array):
        raise _unexpected(tensor, "[batch]")
    return [utf8(text, tensor.name) for text in array.ravel()]


def _numbers(spec: TensorInput, tensor: Tensor) -> list[Row]:
    array = tensor.array[None] if tensor.array.ndim == 1 else tensor.array
    if array.ndim != 2:
        raise _unexpected(tensor, "[batch, time]")
    if spec.largest is not None:
        largest = spec.largest
        if np.any(np.abs(array) > largest):
            raise InvalidInput(
                "inputs",
                f"input {tensor.name!r}: a value is NaN where missing, else at most {largest:g} in magnitude",
                allowed={"min": -largest, "max": largest},
            )
        # The nearest number of FP32 may be a little larger.
        array = np.clip(array.astype(np.float64), -largest, largest)
    rows: list[Row] = array.tolist()
    if array.dtype.kind == "f" and np.isnan(array).any():
        rows = [[None if value != value else value for value in row] for row in rows]
    return rows


def _unexpected(tensor: Tensor, expected: str) -> InvalidInput:
    return InvalidInput(
        "inputs",
        f"unexpected shape for input {tensor.name!r}. Expected {expected}, got {list(tensor.array.shape)}",
    )
