"""Inference requests as bytes: good ones, and such with a part replaced, missing or damaged."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from app.protocols.oip.codec import encode
from app.tasks.tensor_table import DTYPES, Tensor

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_TEXTS = {"mood": "text", "text": "prompt"}
_OUTPUTS = {
    "single": ("mean", "quantiles", "step_forecast", "step_quantile", "step_anomaly_score"),
    "mood": ("label", "score", "scores", "step_token", "step_label", "step_scores"),
    "text": ("text", "seed", "completion_tokens", "step_token", "step_id", "step_logprob"),
}
_OWN: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "single": {
        "horizon": st.integers(0, 13),
        "levels": st.sampled_from(["80", 50, "10,90", 100, [80]]),
        "quantiles": st.sampled_from(["0.1,0.9", 0.5, "x", 1e-9]),
        "freq": st.sampled_from(["h", "D", "15min", "never"]),
        "season": st.integers(0, 200),
        "start": st.sampled_from(["2024-01-31", "9999-12-31", "x"]),
    },
    "mood": {},
    "text": {
        "max_tokens": st.integers(0, 6),
        "temperature": st.floats(-1, 5),
        "top_k": st.integers(-1, 40),
        "top_p": st.floats(0, 1),
        "seed": st.integers(-1, 2**63),
        "stop": st.sampled_from(["a", "", ["a", " "], ["x"] * 9]),
    },
}
_RESERVED: dict[str, st.SearchStrategy[Any]] = {
    "sequence_id": st.integers(0, 2) | st.sampled_from(["", "a", "é b"]),
    "sequence_start": st.booleans(),
    "sequence_end": st.booleans(),
    "binary_data_output": st.booleans(),
    "priority": st.integers(0, 3),
}


@dataclass(frozen=True)
class WireRequest:
    """What is sent."""

    model: str
    body: bytes
    headers: dict[str, str]


@st.composite
def wire_requests(draw: st.DrawFn) -> WireRequest:
    """Half of them are good, or nearly."""
    model = draw(st.sampled_from(sorted(_OUTPUTS)))
    shown, tail = encode(draw(_tensors(model)), binary=draw(st.booleans()))
    request: dict[str, Any] = {"inputs": [_plain(shown)]}
    if draw(st.booleans()):
        given = _OWN[model] | _RESERVED
        names = draw(st.lists(st.sampled_from(sorted(given)), max_size=4, unique=True))
        request["parameters"] = {name: draw(given[name]) for name in names}
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(_OUTPUTS[model]), max_size=3))
        request["outputs"] = [
            {"name": name, "parameters": {"binary_data": draw(st.booleans())}} for name in chosen
        ]
    if model == "text":
        request.setdefault("parameters", {}).setdefault("max_tokens", 3)
    if draw(st.integers(0, 2)) == 0:
        # A sampled list is the same object each time, and must not keep the damage.
        request = copy.deepcopy(request)
        _damage(draw, request)
    head = json.dumps(request).encode()
    body = bytearray(head + tail)
    length = len(head)
    if draw(st.integers(0, 5)) == 0:
        body[draw(st.integers(0, len(body) - 1))] ^= 1 << draw(st.integers(0, 7))
    if draw(st.integers(0, 9)) == 0:
        length += draw(st.integers(-3, 3))
    headers = {"inference-header-content-length": str(max(0, length))} if tail or draw(st.booleans()) else {}
    return WireRequest(model, bytes(body), headers)


def _plain(shown: dict[str, Any]) -> dict[str, Any]:
    """An encoded tensor with lists in place of arrays, and null in place of NaN."""
    data = shown.get("data")
    if isinstance(data, np.ndarray):
        shown["data"] = [None if one != one else one for one in data.tolist()]
    return shown


@st.composite
def _tensors(draw: st.DrawFn, model: str) -> Tensor:
    if model == "single" or draw(st.integers(0, 2)) == 0:
        shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 6)))
        size = shape[0] * shape[1]
        if model == "single":
            finite = st.floats(-1e31, 1e31) | st.integers(-9, 9).map(float) | st.just(float("nan"))
            values: list[Any] = draw(st.lists(finite, min_size=size, max_size=size))
            return Tensor("values", "FP64", np.array(values).reshape(shape))
        ids = draw(st.lists(st.integers(-1, 12), min_size=size, max_size=size))
        return Tensor("tokens", "INT32", np.array(ids, DTYPES["INT32"]).reshape(shape))
    parts = draw(st.lists(st.text(alphabet="ab good\n\0é\U0001f600", max_size=8), min_size=1, max_size=3))
    return Tensor(_TEXTS[model], "BYTES", np.array([part.encode() for part in parts], object))


def _damage(draw: st.DrawFn, request: dict[str, Any]) -> None:
    """Replace one value anywhere in the request, or take it away."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(request)
    node, key = draw(st.sampled_from(places))
    if draw(st.booleans()):
        del node[key]
    else:
        node[key] = draw(JSON)
