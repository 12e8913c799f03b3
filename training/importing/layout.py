"""Where batch and time are in the graph's own arrays."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Layout:
    """``batch`` and ``time`` are axes of the graph's own array, ``dims`` the sizes of the others."""

    batch: int | None
    time: int | None
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.dims)

    def shape(self, batch: int, time: int) -> tuple[int, ...]:
        """Of the graph's own array."""
        sizes = list(self.dims)
        for axis, size in sorted(
            (axis, size) for axis, size in ((self.batch, batch), (self.time, time)) if axis is not None
        ):
            sizes.insert(axis, size)
        return tuple(sizes)

    def __str__(self) -> str:
        return f"batch axis {_said(self.batch)}, time axis {_said(self.time)}"


@dataclass(frozen=True, slots=True)
class Layouts:
    """``whole``: the graph takes many steps at once; ``batched``: many sequences."""

    steps: Layout
    states: tuple[Layout, ...]
    outputs: tuple[Layout, ...]
    whole: bool
    batched: bool


def native(values: Array, layout: Layout) -> Array:
    """Steps ``[batch, time, *dims]`` in the graph's own order; an axis that it has not is of size 1."""
    kept = [(axis, place) for place, axis in enumerate((layout.batch, layout.time)) if axis is not None]
    for place in sorted(
        (place for place, axis in enumerate((layout.batch, layout.time)) if axis is None), reverse=True
    ):
        values = np.squeeze(values, axis=place)
    others = list(range(len(kept), values.ndim))
    sources = {axis: index for index, (axis, _) in enumerate(sorted(kept, key=lambda each: each[1]))}
    order: list[int] = []
    for axis in range(values.ndim):
        order.append(sources[axis] if axis in sources else others.pop(0))
    return np.ascontiguousarray(np.transpose(values, order))


def _said(axis: int | None) -> str:
    return "none" if axis is None else str(axis)
