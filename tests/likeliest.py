"""The graph that finds the candidates of a beam search: LogSoftmax and TopK.

    python -m tests.likeliest

writes it to ``app/runtime/likeliest.onnx``. Only tests and training have the package that writes graphs.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

PATH = Path(__file__).parent.parent / "app" / "runtime" / "likeliest.onnx"


def graph() -> onnx.ModelProto:
    """``logits`` float32 ``[rows, vocabulary]`` and ``count`` int64 ``[1]`` to ``logprobs`` and ``ids``."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("LogSoftmax", ["logits"], ["every"], axis=-1),
        helper.make_node("TopK", ["every", "count"], ["logprobs", "ids"], axis=-1),
    ]
    inputs = [
        value("logits", TensorProto.FLOAT, ["rows", "vocabulary"]),
        value("count", TensorProto.INT64, [1]),
    ]
    outputs = [
        value("logprobs", TensorProto.FLOAT, ["rows", "found"]),
        value("ids", TensorProto.INT64, ["rows", "found"]),
    ]
    made = helper.make_graph(nodes, "likeliest", inputs, outputs)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


if __name__ == "__main__":
    PATH.write_bytes(graph().SerializeToString())
