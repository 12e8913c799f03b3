"""A thin layer over ``onnx.helper`` for writing graphs by hand.

Every method appends nodes and returns the name of what they produce, so that a network's
``emit`` reads like its ``forward``. Opset 18, one graph, no control flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

OPSET = 18
# The oldest IR version that holds opset 18, so that older readers accept the file.
_IR_VERSION = 8
_END = np.iinfo(np.int64).max


class Graph:
    """An ONNX graph under construction.

    Args:
        name: shown by graph viewers.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._counter = 0

    def input(self, name: str, dtype: int, shape: Sequence[int | str]) -> str:
        """Declare a graph input; a string in ``shape`` names a dynamic axis."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, source: str, shape: Sequence[int | str]) -> None:
        """Declare ``source`` as the float32 graph output ``name``."""
        self._nodes.append(helper.make_node("Identity", [source], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value: np.ndarray | Tensor) -> str:
        """Store an array once and return its name."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value: float) -> str:
        """A constant float32 scalar."""
        return self.constant(np.asarray(value, np.float32))

    def ops(self, kind: str, *inputs: str, num: int, **attributes: Any) -> list[str]:
        """Append a node whose last ``num`` outputs are wanted, and return their names.

        Recurrent operators return the whole sequence first, then the last ``h`` and ``c``.
        """
        self._counter += 1
        names = [f"{kind.lower()}_{self._counter}_{index}" for index in range(num)]
        self._nodes.append(
            helper.make_node(kind, list(inputs), names, name=f"{kind}_{self._counter}", **attributes)
        )
        return names

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output and return its name."""
        return self.ops(kind, *inputs, num=1, **attributes)[0]

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Cut ``x`` along ``axis`` into parts of the given sizes."""
        if len(sizes) == 1:
            return [x]
        return self.ops("Split", x, self.ints(*sizes), num=len(sizes), axis=axis)

    def slice(self, x: str, start: int, end: int | None, axis: int) -> str:
        """``x[start:end]`` along ``axis``; ``None`` means to the end."""
        return self.op("Slice", x, self.ints(start), self.ints(_END if end is None else end), self.ints(axis))

    def slice_time(self, x: str, start: str, axis: int = 1) -> str:
        """``x[:, start:]`` where ``start`` is an int64 ``[1]`` tensor."""
        return self.op("Slice", x, start, self.ints(_END), self.ints(axis))

    def unsqueeze(self, x: str, axis: int) -> str:
        """Insert an axis of length one."""
        return self.op("Unsqueeze", x, self.ints(axis))

    def squeeze(self, x: str, axis: int) -> str:
        """Drop an axis of length one."""
        return self.op("Squeeze", x, self.ints(axis))

    def linear(self, x: str, weight: Tensor, bias: Tensor | None = None) -> str:
        """``x @ weight.T + bias`` with a constant weight ``[out, in]``.

        A constant second operand is packed when the graph is loaded, which also keeps ONNX
        Runtime on one kernel for any number of rows.
        """
        y = self.op("MatMul", x, self.constant(weight.detach().cpu().numpy().T))
        return y if bias is None else self.op("Add", y, self.constant(bias))

    def model(self) -> onnx.ModelProto:
        """The finished model, checked against the ONNX specification.

        Raises:
            onnx.checker.ValidationError: the nodes do not form a valid graph.
        """
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="rnnserve",
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
