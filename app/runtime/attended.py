"""What the sequences of a run attend to, as the graph takes it: one array, padded with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import AttendedSpec

_MULTIPLE = 8
"""Lengths are rounded up to it, so that runs have few different shapes."""


class Attended(NamedTuple):
    """``values`` ``[n, L, C]``, and of each row how many positions count, int64 ``[n]``, at least one."""

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]

    def rows(self, first: int, last: int) -> Attended:
        return Attended(self.values[first:last], self.lengths[first:last])


def gathered(arrays: Sequence[NDArray[np.float32] | None], spec: AttendedSpec) -> Attended:
    """Arrays ``[L, C]`` of any lengths together; ``None`` is one position of zeros.

    A row has the same bits with any padding: the export refuses a graph of which that is not so.
    """
    lengths = np.array([1 if array is None else len(array) for array in arrays], np.int64)
    most = spec.length or -(-int(lengths.max()) // _MULTIPLE) * _MULTIPLE
    values = np.zeros((len(arrays), most, spec.width), np.float32)
    for array, row in zip(arrays, values, strict=True):
        if array is not None:
            row[: len(array)] = array
    return Attended(values, lengths)


def fitted(output: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """An output by position ``[..., L]`` for so many positions: what is cut off or added is padding."""
    missing = length - output.shape[-1]
    if missing <= 0:
        return output[..., :length]
    return np.pad(output, [(0, 0)] * (output.ndim - 1) + [(0, missing)])
