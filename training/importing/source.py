"""Reading an ONNX file that somebody else made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, inliner, version_converter

from app.bundle.external_data import refuse_external_data
from app.bundle.reader import MAX_FILE_BYTES, read_regular
from app.core.errors import BundleError, InvalidManifest

_STANDARD = ("", "ai.onnx")
_LEAST_OPSET, _OPSET = 13, 18
_IR_VERSION = 10
"""The newest that the oldest ONNX Runtime reads that we serve with."""
MAX_NODES = 200_000


def read_source(path: Path) -> ModelProto:
    """A model of standard operators alone, with its functions put in place of their calls.

    Raises:
        BundleError: it cannot be read, has weights elsewhere, or operators that are not of the standard.
    """
    try:
        data = read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise BundleError(f"cannot read {str(path)!r}: {error.strerror}") from error
    refuse_external_data(data)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # whatever protobuf makes of bytes that somebody chose
        raise InvalidManifest(f"{path.name!r} cannot be read as an ONNX model: {error}") from None
    if not model.graph.node:
        raise InvalidManifest(f"{path.name!r} holds no ONNX graph")
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        _refuse_foreign(model)
        opset = opset_of(model)
        if opset < _LEAST_OPSET:
            model = version_converter.convert_version(model, _OPSET)
        onnx.checker.check_model(model)
    except BundleError:
        raise
    except Exception as error:  # the checker, the converter and the inliner raise what they like
        text = str(error).strip().splitlines() or ["unknown"]
        raise InvalidManifest(f"{path.name!r} is no valid ONNX model: {text[0][:300]}") from None
    model.ir_version = min(max(model.ir_version, 8), _IR_VERSION)
    return model


def opset_of(model: ModelProto) -> int:
    """Of the standard operators."""
    return max((int(each.version) for each in model.opset_import if each.domain in _STANDARD), default=0)


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Those of its subgraphs as well."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            for attribute in node.attribute:
                waiting.extend(subgraphs(attribute))


def subgraphs(attribute: AttributeProto) -> list[GraphProto]:
    """Of an attribute."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _refuse_foreign(model: ModelProto) -> None:
    for count, node in enumerate(nodes_of(model.graph), start=1):
        if node.domain not in _STANDARD:
            raise InvalidManifest(
                f"the graph uses the operator {node.op_type!r} of {node.domain!r}; a bundle has standard "
                "ONNX operators alone, so export it without"
            )
        if count > MAX_NODES:
            raise InvalidManifest(f"the graph has more than {MAX_NODES:,} nodes; is a loop unrolled in it?")
