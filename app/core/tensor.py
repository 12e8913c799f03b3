"""A tensor with its name, and what a model says of the tensors it reads and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Datatype = Literal["BYTES", "FP32", "FP64", "INT32", "INT64"]
ANY = -1
DTYPES: dict[Datatype, np.dtype[Any]] = {
    "BYTES": np.dtype(object),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
}
"""What each is in memory, and, but for ``BYTES``, on the wire. Elements of ``BYTES`` are Python ``bytes``."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named array.

    Attributes:
        array: of the dtype that :data:`DTYPES` gives.
        parameters: what its elements mean, for the answer.
    """

    name: str
    datatype: Datatype
    array: NDArray[Any]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: of the tensor.
        datatype: as it is announced.
        shape: :data:`ANY` for an axis of any size.
        also: further datatypes that are read, without loss.
        optional: an input that can be left out for another one.
        each_step: an output with an entry per step, and so for a sequence, or a single row.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    also: tuple[Datatype, ...] = ()
    optional: bool = False
    each_step: bool = False


def floats(name: str, values: Any, **parameters: str) -> Tensor:
    """An ``FP32`` tensor; ``None`` becomes NaN."""
    return Tensor(name, "FP32", np.asarray(values, np.float32), parameters)


def integers(name: str, values: Any) -> Tensor:
    """An ``INT64`` tensor."""
    return Tensor(name, "INT64", np.asarray(values, np.int64))


def texts(name: str, rows: Sequence[Sequence[str]]) -> Tensor:
    """A ``BYTES`` tensor of UTF-8, ``[n]``, or ``[n, m]`` of rows of one length."""
    flat = [text for row in rows for text in ([row] if isinstance(row, str) else row)]
    array = objects([text.encode() for text in flat])
    return Tensor(name, "BYTES", array if isinstance(rows[0], str) else array.reshape(len(rows), -1))


def objects(elements: list[bytes]) -> NDArray[Any]:
    """``[n]`` of ``BYTES``, each element as it is: NumPy's own strings would lose zeros at their end."""
    array = np.empty(len(elements), object)
    for place, element in enumerate(elements):
        array[place] = element
    return array
