"""A few nodes around somebody's graph, in whatever opset it has (13 or later)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from training.importing.source import subgraphs

_END = np.iinfo(np.int64).max


class Nodes:
    """A graph, or the body of a loop, under construction; names are unique over all of them."""

    def __init__(self, counter: Iterator[int]) -> None:
        self.counter = counter
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def name(self, kind: str) -> str:
        return f"import/{kind.lower()}_{next(self.counter)}"

    def op(self, kind: str, *inputs: str, num: int = 1, **attributes: Any) -> list[str]:
        names = [self.name(kind) for _ in range(num)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def one(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.op(kind, *inputs, **attributes)[0]

    def constant(self, value: NDArray[np.generic]) -> str:
        name = self.name("constant")
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def slice(self, x: str, start: int, end: int | None, axis: int) -> str:
        return self.one(
            "Slice", x, self.ints(start), self.ints(_END if end is None else end), self.ints(axis)
        )

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps a size."""
        return self.one("Reshape", x, self.ints(*shape))

    def transpose(self, x: str, order: Sequence[int]) -> str:
        return x if list(order) == sorted(order) else self.one("Transpose", x, perm=list(order))

    def cast(self, x: str, to: int) -> str:
        return self.one("Cast", x, to=to)

    def lengths(self, x: str, *, timed: bool) -> str:
        """How many steps each sequence of ``[batch, time, ...]`` has; one where there is no time axis."""
        shape = self.one("Shape", x)
        time = self.slice(shape, 1, 2, axis=0) if timed else self.ints(1)
        return self.one("Expand", time, self.slice(shape, 0, 1, axis=0))

    def rename(self, x: str, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [x], [name]))

    def graph(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
    ) -> GraphProto:
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), self.weights)


def floats(name: str, shape: Sequence[int | str]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def prefixed(graph: GraphProto, prefix: str) -> GraphProto:
    """A copy in which every tensor, those of subgraphs as well, has another name."""
    copy = GraphProto()
    copy.CopyFrom(graph)
    waiting = [copy]
    while waiting:
        each = waiting.pop()
        for tensor in each.initializer:
            tensor.name = prefix + tensor.name
        for sparse in each.sparse_initializer:
            sparse.values.name = prefix + sparse.values.name
        for info in (*each.input, *each.output):
            info.name = prefix + info.name
        # They are found anew, and may contradict the shapes around them.
        del each.value_info[:]
        for node in each.node:
            node.name = ""
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    names[place] = prefix + name if name else name
            for attribute in node.attribute:
                waiting.extend(subgraphs(attribute))
    return copy
