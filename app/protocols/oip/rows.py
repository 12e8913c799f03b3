"""The batch axis: rows of numbers and of token ids, and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.core.tensor import ANY, Tensor, TensorSpec
from app.protocols.oip.codec import utf8

TOKENS = TensorSpec("tokens", "INT64", (ANY, ANY), also=("INT32",), optional=True)


def rows_of(tensor: Tensor) -> NDArray[Any]:
    """``[batch, time]``; a tensor of one axis is one row.

    Raises:
        InvalidInput: it has another shape.
    """
    array = tensor.array
    if array.ndim == 1:
        return array[None]
    if array.ndim != 2:
        raise InvalidInput(
            "inputs",
            f"unexpected shape for input {tensor.name!r}. Expected [batch, time], got {list(array.shape)}",
        )
    return array


def texts_of(tensor: Tensor) -> list[str]:
    """The texts of ``[batch]``, or of ``[batch, 1]``.

    Raises:
        InvalidInput: it has another shape, or a text is not UTF-8.
    """
    array = tensor.array
    if array.ndim > 2 or array.size != len(array):
        raise InvalidInput(
            "inputs", f"unexpected shape for input {tensor.name!r}. Expected [batch], got {list(array.shape)}"
        )
    return [utf8(one, tensor.name) for one in array.ravel()]


def text_events(tensors: Mapping[str, Tensor], text: str) -> Sequence[str | list[int]]:
    """The rows of ``text`` or of ``tokens``, whichever is there, as inputs of a session each.

    Raises:
        InvalidInput: both are there, or none.
    """
    if len(tensors) != 1:
        raise InvalidInput(
            "inputs",
            f"expected one input: {text!r}, of BYTES, or 'tokens', of INT64",
            allowed=[text, "tokens"],
        )
    if text in tensors:
        return texts_of(tensors[text])
    rows: list[list[int]] = rows_of(tensors["tokens"]).tolist()
    return rows


def same_length(rows: list[list[Any]]) -> None:
    """Refuse rows of unequal numbers of steps, which no tensor can hold.

    Raises:
        InvalidInput: they are.
    """
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise InvalidInput(
            "outputs",
            "the rows have different numbers of tokens, so the outputs step_... have no common shape; "
            "ask for them a row at a time",
        )
