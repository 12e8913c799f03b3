"""Inputs as Triton's client sends them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tritonclient.http as triton
from numpy.typing import ArrayLike, NDArray


def numbers(values: ArrayLike, *, binary: bool = True, name: str = "values", datatype: str = "FP32") -> Any:
    """An input of numbers."""
    dtype = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32}[datatype]
    array: NDArray[Any] = np.asarray(values, dtype)
    given = triton.InferInput(name, list(array.shape), datatype)
    return given.set_data_from_numpy(array, binary_data=binary)


def texts(*values: str, name: str = "text", binary: bool = True) -> Any:
    """An input of texts."""
    array = np.array([value.encode() for value in values], object)
    return triton.InferInput(name, [len(values)], "BYTES").set_data_from_numpy(array, binary_data=binary)


def words(tensor: NDArray[Any]) -> list[str]:
    """The texts of an output, flat."""
    return [one.decode() if isinstance(one, bytes) else str(one) for one in tensor.ravel()]
