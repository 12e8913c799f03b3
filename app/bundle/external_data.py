"""Whether a graph keeps weights outside its own file.

ONNX Runtime would open any path that a graph names, relative to the working directory. Serving has no
``onnx`` package, so this reads the protobuf wire format itself: each field is a key, ``number << 3 | wire
type``, and a value.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.core.errors import InvalidManifest

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 100
"""Of nested messages, as in protobuf's own parsers."""

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = range(8)
# Fields of onnx.proto that hold, at some depth, a tensor.
_INSIDE: dict[int, dict[int, int]] = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _TENSOR: {},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def refuse_external_data(graph: bytes) -> None:
    """Check a graph before ONNX Runtime sees it.

    Raises:
        InvalidManifest: a tensor, in whatever subgraph or attribute, has its data elsewhere, or the bytes
            are no ONNX model.
    """
    if graph[4:8] == b"ORTM":
        # ONNX Runtime's own format, which it would tell by this mark.
        raise _malformed()
    waiting = [(_MODEL, 0, len(graph), 0)]
    while waiting:
        kind, begin, end, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise InvalidManifest("the graph cannot be read: it is nested too deeply")
        inside = _INSIDE[kind]
        for number, wire_type, first, last in _fields(graph, begin, end):
            if kind == _TENSOR and number in (_EXTERNAL_DATA, _DATA_LOCATION):
                if wire_type != _VARINT or any(graph[first:last]):
                    raise InvalidManifest(
                        "the graph keeps weights outside its file (external data), which a bundle may not; "
                        "export it with external_data=False"
                    )
            elif wire_type == _BYTES and number in inside:
                waiting.append((inside[number], first, last, depth + 1))


def _fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and the range of the value, of each field of a message."""
    position = begin
    while position < end:
        key, position = _varint(data, position, end)
        wire_type, first = key & 7, position
        if wire_type == _VARINT:
            _, position = _varint(data, position, end)
        elif wire_type == _BYTES:
            length, first = _varint(data, position, end)
            position = first + length
        elif wire_type == _FIXED64:
            position += 8
        elif wire_type == _FIXED32:
            position += 4
        else:
            raise _malformed()
        if position > end or key >> 32:
            raise _malformed()
        yield key >> 3, wire_type, first, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _malformed()


def _malformed() -> InvalidManifest:
    return InvalidManifest("the graph cannot be read: it is no ONNX model")
