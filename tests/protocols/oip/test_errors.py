"""What a wrong request is answered under ``/v2``: a sentence, a status of 4xx, and never anything else."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException

from app.protocols.oip.schema import OipError
from tests.e2e.server import ServerProcess
from tests.protocols.oip.inputs import numbers, texts
from tests.protocols.oip.wire_requests import WireRequest, wire_requests

ONE = {"name": "values", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
INFER = "/v2/models/single/infer"


def error_of(answer: httpx2.Response) -> str:
    """The sentence of a failure, which is the whole body."""
    assert answer.headers["content-type"] == "application/json"
    return OipError.model_validate_json(answer.content).error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "inputs: the field is required"),
        ({"inputs": []}, "inputs: "),
        ({"inputs": [ONE | {"shape": [1, 0]}]}, "inputs.0.shape.1: "),
        ({"inputs": [ONE | {"shape": [-1, 2]}]}, "inputs.0.shape.0: "),
        ({"inputs": [ONE | {"shape": [1] * 9}]}, "inputs.0.shape: "),
        (
            {"inputs": [ONE | {"shape": [1, 1, 2]}]},
            "unexpected shape for input 'values'. Expected [batch, time]",
        ),
        ({"inputs": [ONE | {"name": "x"}]}, "unexpected inference input 'x'; the model has values"),
        ({"inputs": [ONE, ONE]}, "input 'values' is given more than once"),
        (
            {"inputs": [ONE | {"datatype": "INT64"}]},
            "data-type is 'INT64', but the model expects 'FP32' or 'FP64'",
        ),
        (
            {"inputs": [ONE | {"data": [1, 2e39]}]},
            "input 'values': a value is NaN where missing, else at most 1e+30",
        ),
        ({"inputs": [ONE | {"data": [1]}]}, "input 'values': 1 elements of data, but 2 of shape [1, 2]"),
        ({"inputs": [ONE], "outputs": [{"name": "y"}]}, "unexpected inference output 'y' for model 'single'"),
        (
            {"inputs": [ONE], "outputs": [{"name": "mean", "parameters": {"classification": 2}}]},
            "the classification extension is not served here",
        ),
        (
            {"inputs": [ONE], "outputs": [{"name": "mean", "parameters": {"binary_data": 1}}]},
            "binary_data is true or false",
        ),
        (
            {"inputs": [ONE | {"parameters": {"shared_memory_region": "x"}}]},
            "shared memory is not served here",
        ),
        ({"inputs": [ONE | {"parameters": {"binary_data_size": 8}}]}, "has both data and binary_data_size"),
        ({"inputs": [ONE], "parameters": {"horizn": 3}}, "horizn: unknown field"),
        ({"inputs": [ONE], "parameters": {"horizon": 121}}, "forecasts 1 to 120 steps ahead, not 121"),
        ({"inputs": [ONE], "parameters": {"quantiles": "0.1,x"}}, "quantiles: "),
        ({"inputs": [ONE], "parameters": {"quantiles": 0.5, "levels": 80}}, "either quantiles or levels"),
        ({"inputs": [ONE | {"data": [None, 1]}]}, "needs 2 or more values"),
        ({"id": 7, "inputs": [ONE]}, "id: "),
        (
            {"inputs": [ONE], "parameters": {"sequence_id": 1, "freq": "h"}},
            "freq: only at the start of a sequence",
        ),
    ],
)
def test_each_mistake_is_told(server: ServerProcess, body: dict[str, Any], message: str) -> None:
    """With 400, the name of what is wrong, and what would be right."""
    with server.client() as client:
        answer = client.post(INFER, json=body)
    assert answer.status_code == 400, answer.text
    assert message in error_of(answer)


def test_mistakes_with_texts_are_told(client: Client) -> None:
    """Empty texts, bytes that are no text, the wrong input, too many prompts, rows of unequal length."""
    cases: list[tuple[str, list[Any], dict[str, Any], str]] = [
        ("mood", [texts("good", "")], {}, "text.1: the text holds no words"),
        (
            "mood",
            [texts("a"), numbers([[1]], name="tokens", datatype="INT64")],
            {},
            "expected one input: 'text'",
        ),
        (
            "mood",
            [numbers([[99]], name="tokens", datatype="INT64")],
            {},
            "a token id is a whole number from 0 to",
        ),
        ("text", [texts(*["a"] * 17, name="prompt")], {}, "at most 16 prompts, got 17"),
        ("text", [texts("a", name="prompt")], {"max_tokens": 10**6}, "at most 10000 is allowed"),
        ("text", [texts("a", name="prompt")], {"n": 2}, "n: unknown field"),
    ]
    for model, given_, parameters, message in cases:
        with pytest.raises(InferenceServerException, match=message) as raised:
            client.infer(model, given_, parameters=parameters or None)
        assert raised.value.status() == "400"
    raw = np.array([b"\xff\xfe"], object)
    broken = triton.InferInput("text", [1], "BYTES").set_data_from_numpy(raw)
    with pytest.raises(InferenceServerException, match="is not UTF-8"):
        client.infer("mood", [broken])
    with pytest.raises(InferenceServerException, match="different numbers of tokens"):
        client.infer(
            "mood", [texts("good", "good film")], outputs=[triton.InferRequestedOutput("step_label")]
        )


def test_unknown_models_and_addresses_are_404(native: httpx2.Client) -> None:
    """In the protocol's own shape; so is a method that an address does not know."""
    for path in ("/v2/models/nobody/infer", "/v2/models/single/versions/9/infer"):
        answer = native.post(path, json={"inputs": [ONE]})
        assert answer.status_code == 404
        assert "is served here; available: mood@1, series@1, series@2" in error_of(answer)
    assert error_of(native.get("/v2/logging")) == "nothing is served at this address; /docs lists what is"
    assert native.get(INFER).status_code == 405
    assert error_of(native.get(INFER)) == "this address takes POST, not GET"
    assert native.get("/v2/models/nobody/stats").status_code == 404


def test_a_request_may_set_its_own_timeout(client: Client) -> None:
    """In microseconds, as Triton's client sends it; what takes longer is given up."""
    assert client.infer("single", [numbers([[1, 2]])], timeout=30_000_000).as_numpy("mean") is not None
    long = {"max_tokens": 10_000, "seed": 1}
    with pytest.raises(InferenceServerException, match="longer than its timeout of 1000 us") as raised:
        client.infer("text", [texts("a", name="prompt")], parameters=long, timeout=1000)
    assert raised.value.status() == "504"


@pytest.mark.parametrize("length", ["-1", "x", "", "9999999999999", "1e3", "\u00b2"])
def test_a_header_length_is_a_number_of_bytes_of_the_body(native: httpx2.Client, length: str) -> None:
    """Anything else is refused before anything is parsed."""
    headers = [(b"Inference-Header-Content-Length", length.encode("latin-1"))]
    answer = native.post(INFER, content=json.dumps({"inputs": [ONE]}), headers=headers)
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length is a number of bytes" in error_of(answer)


def test_a_compressed_body_is_bounded_when_it_is_unpacked(oip_models: Any) -> None:
    """A bomb is refused at the limit; what is cut, trailed or of another encoding is refused as well."""
    body = json.dumps({"inputs": [ONE]}).encode()
    cases = [
        (gzip.compress(b" " * 20_000_000 + body), "gzip", 413),
        (zlib.compress(b" " * 20_000_000), "deflate", 413),
        (gzip.compress(body)[:-3], "gzip", 400),
        (gzip.compress(body) + b"x", "gzip", 400),
        (body, "gzip", 400),
        (b"", "gzip", 400),
        (gzip.compress(body), "br", 415),
        (gzip.compress(body), "gzip", 200),
        (zlib.compress(body), "DEFLATE", 200),
        (body, "identity", 200),
    ]
    with ServerProcess(oip_models, max_body_bytes=100_000) as process, process.client() as client:
        for content, encoding, status in cases:
            answer = client.post(INFER, content=content, headers={"content-encoding": encoding})
            assert answer.status_code == status, (encoding, status, answer.text)
            if status != 200:
                assert error_of(answer)
        plain = client.post(INFER, content=b" " * 100_001)
        assert (plain.status_code, error_of(plain)) == (
            413,
            "the body is larger than the limit of 100000 bytes",
        )


def test_no_request_is_answered_with_a_server_error(native: httpx2.Client) -> None:
    """Good requests, and such with a part replaced or a byte turned: an answer, or a sentence with 4xx."""
    seen: Counter[int] = Counter()

    @settings(max_examples=600, deadline=None)
    @given(wire_requests())
    def ask(request: WireRequest) -> None:
        answer = native.post(
            f"/v2/models/{request.model}/infer", content=request.body, headers=request.headers
        )
        seen[answer.status_code] += 1
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, (request, answer.text)
        if answer.status_code != 200:
            assert error_of(answer)

    ask()
    # Both ends are reached, or the test would show nothing.
    assert seen[200] > 60, seen
    assert seen[400] > 60, seen


# The examples may share the client: no answer depends on an earlier one.
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([INFER, "/v2/repository/index", "/v2/repository/models/nobody/load"]),
    body=st.binary(max_size=200),
    encoding=st.sampled_from(["identity", "gzip", "deflate", "br", ""]),
    length=st.none() | st.integers(0, 300),
)
def test_no_bytes_are_answered_with_a_server_error(
    native: httpx2.Client, path: str, body: bytes, encoding: str, length: int | None
) -> None:
    """Bytes of no form at all, on every route with a body."""
    headers = {"content-encoding": encoding}
    if length is not None:
        headers["inference-header-content-length"] = str(length)
    answer = native.post(path, content=body, headers=headers)
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("values", [[1e30, -1e30] * 20, [1e-40, 0, 0, 1e30], [0] * 50, [1e30] * 4])
def test_extreme_values_are_answered(native: httpx2.Client, values: list[float]) -> None:
    """At the ends of what a value may be, by itself and in a sequence."""
    tensor = {"name": "values", "shape": [1, len(values)], "datatype": "FP64", "data": values}
    for parameters in ({}, {"sequence_id": 5, "sequence_start": True}):
        answer = native.post(INFER, json={"inputs": [tensor], "parameters": parameters})
        assert answer.status_code in (200, 400), answer.text


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_the_largest_value_is_taken_by_itself_and_in_a_sequence(native: httpx2.Client, datatype: str) -> None:
    """The number of FP32 that is nearest to 1e30 is a little larger."""
    tensor = {"name": "values", "shape": [1, 3], "datatype": datatype, "data": [1e30, -1e30, 1]}
    for parameters in (None, {"sequence_id": 6, "sequence_start": True, "sequence_end": True}):
        answer = native.post(INFER, json={"inputs": [tensor], "parameters": parameters})
        assert answer.status_code == 200, answer.text


def test_null_parameters_are_none(native: httpx2.Client) -> None:
    """Of a request, of an input and of an output."""
    body = {
        "parameters": None,
        "inputs": [ONE | {"parameters": None}],
        "outputs": [{"name": "mean", "parameters": None}],
    }
    assert native.post(INFER, json=body).status_code == 200
