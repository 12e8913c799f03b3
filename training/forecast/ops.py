"""The few tensor operations that a forecaster's fixed part is written in, for PyTorch and as ONNX nodes.

What a forecaster knows of a series without learning is written once, in :mod:`training.forecast.memory`
and :mod:`training.forecast.candidates`, against this interface: run on tensors it trains, run on graph
values it exports. Only operations whose value at one element does not depend on where the element lies
in the tensor are offered (a matrix product works row by row), so that a sequence gets the same bits in
any batch and any chunking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto
from torch import Tensor

from training.graph import Graph


class Value(Protocol):
    """A tensor of floats, or a graph value that stands for one."""

    def __add__(self, other: Any, /) -> Self: ...
    def __sub__(self, other: Any, /) -> Self: ...
    def __mul__(self, other: Any, /) -> Self: ...
    def __truediv__(self, other: Any, /) -> Self: ...
    def __matmul__(self, other: Any, /) -> Self: ...


T = TypeVar("T", bound=Value)
Matrix = NDArray[np.float64]


class Ops(Protocol[T]):
    """See the module; masks are floats, 1 or 0; ``axis`` is the last one where none is named."""

    def constant(self, values: ArrayLike) -> T: ...
    def abs(self, x: T) -> T: ...
    def sqrt(self, x: T) -> T: ...
    def ceil(self, x: T) -> T: ...
    def least(self, x: T, y: T | float) -> T: ...
    def most(self, x: T, y: T | float) -> T: ...
    def bound(self, x: T, limit: float) -> T:
        """Cut off at ``-limit`` and ``limit``."""

    def above(self, x: T, y: T | float) -> T:
        """1 where ``x > y``."""

    def concat(self, parts: Sequence[T], axis: int = -1) -> T: ...
    def split(self, x: T, sizes: Sequence[int]) -> list[T]: ...
    def part(self, x: T, begin: int, end: int) -> T:
        """``x[..., begin:end]``."""

    def cut(self, x: T, begin: int, end: int | None) -> T:
        """``x[:, begin:end]``, of the axis of time."""

    def smallest(self, x: T) -> T:
        """Along the last axis, which stays."""

    def axis(self, x: T, place: int) -> T:
        """One more axis, of length one."""

    def flat(self, x: T) -> T:
        """``[batch, n, k]`` as ``[batch, n * k]``."""

    def unflat(self, x: T, size: int) -> T:
        """``[batch, n * size]`` as ``[batch, n, size]``."""

    def fold(self, x: T, num: int, size: int) -> T:
        """``[batch, time, 1, 1, num * size]`` as ``[batch, time, num, 1, size]``."""

    def gather(self, buffer: T, index: T) -> T:
        """``buffer[b, index[b, ...]]`` of ``[batch, length]``."""

    def latest(self, carried: T, value: T, seen: T) -> tuple[T, T]:
        """The last value seen up to each step, ``carried`` where none was, and how many were.

        ``carried`` is ``[batch, 1, 1]``, the others are ``[batch, time, 1]``.
        """

    def count(self, x: T) -> T:
        """Running sum of whole numbers along time."""

    def scan(self, x: T, taken: Matrix, matrix: Matrix, start: T) -> T:
        """``h[t] = taken @ x[t] + matrix @ h[t-1]``, from ``start`` ``[batch, k]`` on."""


class TorchOps:
    """On tensors; see :class:`Ops`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def constant(self, values: ArrayLike) -> Tensor:
        return torch.as_tensor(np.asarray(values, np.float32), device=self._device)

    def abs(self, x: Tensor) -> Tensor:
        return x.abs()

    def sqrt(self, x: Tensor) -> Tensor:
        return x.sqrt()

    def ceil(self, x: Tensor) -> Tensor:
        return x.ceil()

    def least(self, x: Tensor, y: Tensor | float) -> Tensor:
        return x.minimum(y) if isinstance(y, Tensor) else x.clamp_max(y)

    def most(self, x: Tensor, y: Tensor | float) -> Tensor:
        return x.maximum(y) if isinstance(y, Tensor) else x.clamp_min(y)

    def bound(self, x: Tensor, limit: float) -> Tensor:
        return x.clamp(-limit, limit)

    def above(self, x: Tensor, y: Tensor | float) -> Tensor:
        return (x > y).float()

    def concat(self, parts: Sequence[Tensor], axis: int = -1) -> Tensor:
        return torch.cat(list(parts), axis)

    def split(self, x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        return list(torch.split(x, list(sizes), dim=-1))

    def part(self, x: Tensor, begin: int, end: int) -> Tensor:
        return x[..., begin:end]

    def cut(self, x: Tensor, begin: int, end: int | None) -> Tensor:
        return x[:, begin:end]

    def smallest(self, x: Tensor) -> Tensor:
        return x.amin(-1, keepdim=True)

    def axis(self, x: Tensor, place: int) -> Tensor:
        return x.unsqueeze(place)

    def flat(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def unflat(self, x: Tensor, size: int) -> Tensor:
        return x.reshape(len(x), x.shape[1] // size, size)

    def fold(self, x: Tensor, num: int, size: int) -> Tensor:
        return x.reshape(*x.shape[:2], num, 1, size)

    def gather(self, buffer: Tensor, index: Tensor) -> Tensor:
        index = index.expand(len(buffer), *index.shape[1:])
        return buffer.gather(1, index.long().reshape(len(buffer), -1)).reshape(index.shape)

    def latest(self, carried: Tensor, value: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        steps = torch.arange(1, value.shape[1] + 1, device=value.device)[None, :, None]
        order = (steps * (seen > 0)).cummax(1).values
        return torch.cat([carried, value], 1).gather(1, order), seen.cumsum(1)

    def count(self, x: Tensor) -> Tensor:
        return x.cumsum(1)

    def scan(self, x: Tensor, taken: Matrix, matrix: Matrix, start: Tensor) -> Tensor:
        h = torch.cat([start.unsqueeze(1), x @ self.constant(taken.T)], 1)
        power, apart = matrix, 1
        # Each round doubles the number of steps that every sum reaches back.
        while apart < h.shape[1]:
            reached = h[:, :-apart] @ self.constant(power.T)
            h = torch.cat([h[:, :apart], h[:, apart:] + reached], 1)
            power, apart = power @ power, 2 * apart
        return h[:, 1:]


class Node:
    """A value of a graph under construction."""

    def __init__(self, g: Graph, name: str) -> None:
        self.g, self.name = g, name

    def _with(self, kind: str, other: Node | float) -> Node:
        return Node(self.g, self.g.op(kind, self.name, _node(self.g, other).name))

    def __add__(self, other: Node | float) -> Node:
        return self._with("Add", other)

    def __sub__(self, other: Node | float) -> Node:
        return self._with("Sub", other)

    def __mul__(self, other: Node | float) -> Node:
        return self._with("Mul", other)

    def __truediv__(self, other: Node | float) -> Node:
        return self._with("Div", other)

    def __matmul__(self, other: Node) -> Node:
        return self._with("MatMul", other)


def _node(g: Graph, value: Node | float) -> Node:
    """A number gets three axes: what it is added to has as many or more, and where the last one is of length
    one, ONNX Runtime takes six times as long for a number without axes.
    """
    return value if isinstance(value, Node) else Node(g, g.constant(np.full((1, 1, 1), value, np.float32)))


class GraphOps:
    """As ONNX nodes; see :class:`Ops`."""

    def __init__(self, g: Graph) -> None:
        self.g = g
        self._scanned: tuple[str, str] | None = None

    def _op(self, kind: str, *inputs: Node, **attributes: Any) -> Node:
        return Node(self.g, self.g.op(kind, *(each.name for each in inputs), **attributes))

    def constant(self, values: ArrayLike) -> Node:
        return Node(self.g, self.g.constant(np.asarray(values, np.float32)))

    def abs(self, x: Node) -> Node:
        return self._op("Abs", x)

    def sqrt(self, x: Node) -> Node:
        return self._op("Sqrt", x)

    def ceil(self, x: Node) -> Node:
        return self._op("Ceil", x)

    def least(self, x: Node, y: Node | float) -> Node:
        return self._op("Min", x, _node(self.g, y))

    def most(self, x: Node, y: Node | float) -> Node:
        return self._op("Max", x, _node(self.g, y))

    def bound(self, x: Node, limit: float) -> Node:
        low, high = (Node(self.g, self.g.scalar(each)) for each in (-limit, limit))
        return self._op("Clip", x, low, high)

    def above(self, x: Node, y: Node | float) -> Node:
        return self._op("Cast", self._op("Greater", x, _node(self.g, y)), to=TensorProto.FLOAT)

    def concat(self, parts: Sequence[Node], axis: int = -1) -> Node:
        return self._op("Concat", *parts, axis=axis)

    def split(self, x: Node, sizes: Sequence[int]) -> list[Node]:
        return [Node(self.g, name) for name in self.g.split(x.name, sizes, axis=-1)]

    def part(self, x: Node, begin: int, end: int) -> Node:
        return Node(self.g, self.g.slice(x.name, begin, end, axis=-1))

    def cut(self, x: Node, begin: int, end: int | None) -> Node:
        return Node(self.g, self.g.slice(x.name, begin, end, axis=1))

    def smallest(self, x: Node) -> Node:
        return self._op("ReduceMin", x, Node(self.g, self.g.ints(-1)), keepdims=1)

    def axis(self, x: Node, place: int) -> Node:
        return Node(self.g, self.g.unsqueeze(x.name, place))

    def flat(self, x: Node) -> Node:
        return Node(self.g, self.g.op("Reshape", x.name, self.g.ints(0, -1)))

    def unflat(self, x: Node, size: int) -> Node:
        return Node(self.g, self.g.op("Reshape", x.name, self.g.ints(0, -1, size)))

    def fold(self, x: Node, num: int, size: int) -> Node:
        return Node(self.g, self.g.op("Reshape", x.name, self.g.ints(0, 0, num, 1, size)))

    def gather(self, buffer: Node, index: Node) -> Node:
        g = self.g
        whole = g.op("Cast", index.name, to=TensorProto.INT64)
        found = g.op("GatherElements", buffer.name, g.op("Reshape", whole, g.ints(0, -1)), axis=1)
        return Node(g, g.op("Reshape", found, g.op("Shape", whole)))

    def latest(self, carried: Node, value: Node, seen: Node) -> tuple[Node, Node]:
        g, number = self.g, self.count(seen)
        order = g.op("Cast", number.name, to=TensorProto.INT64)
        # Observed values are packed behind the carried one, missing ones go to the last place, which nobody
        # reads; the n-th packed value is then the latest at every step up to the next observation.
        target = g.op("Cast", ((number + 1.0) * seen - 1.0).name, to=TensorProto.INT64)
        packed = g.op("Concat", carried.name, value.name, carried.name, axis=1)
        packed = g.op("ScatterElements", packed, target, value.name, axis=1)
        return Node(g, g.op("GatherElements", packed, order, axis=1)), number

    def count(self, x: Node) -> Node:
        return self._op("CumSum", x, Node(self.g, self.g.constant(np.asarray(1, np.int64))))

    def scan(self, x: Node, taken: Matrix, matrix: Matrix, start: Node) -> Node:
        g, size = self.g, len(matrix)
        # A row of zeros beside the batch keeps ONNX Runtime on one kernel; see training.cells. Being of no
        # length, it costs half of what another row does.
        time, lengths = self._scanned = self._scanned or self._lengths(x)
        nothing = g.op("ConstantOfShape", g.op("Concat", time, g.ints(1, taken.shape[1]), axis=0))
        steps = g.op("Concat", g.op("Transpose", x.name, perm=[1, 0, 2]), nothing, axis=1)
        start_of_nothing = g.constant(np.zeros((1, 1, size), np.float32))
        y = g.ops(
            "RNN",
            steps,
            g.constant(taken.astype(np.float32)[None]),
            g.constant(matrix.astype(np.float32)[None]),
            "",
            lengths,
            g.op("Concat", g.unsqueeze(start.name, 0), start_of_nothing, axis=1),
            num=1,
            hidden_size=size,
            activations=["Affine"],
            activation_alpha=[1.0],
            activation_beta=[0.0],
        )[0]
        y = g.slice(g.squeeze(y, 1), 0, -1, axis=1)
        return Node(g, g.op("Transpose", y, perm=[1, 0, 2]))

    def _lengths(self, x: Node) -> tuple[str, str]:
        """How many steps there are, ``[1]``, and how long each row of a scan is; the same in all scans."""
        g = self.g
        time, num = (g.op("Shape", x.name, start=axis, end=axis + 1) for axis in (1, 0))
        lengths = g.op("Expand", g.op("Cast", time, to=TensorProto.INT32), num)
        return time, g.op("Concat", lengths, g.constant(np.zeros(1, np.int32)), axis=0)
