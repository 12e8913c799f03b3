"""The unmodified Triton client against a real server: what it is told, and what it is answered."""

from __future__ import annotations

import asyncio
import json

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.http import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException

from app.protocols.oip.schema import InferAnswer, ModelConfig, ModelMetadata
from tests.bundles import HORIZON, LABELS
from tests.e2e.server import ServerProcess
from tests.protocols.oip.inputs import numbers, texts, words

SERIES = np.array([[4, 1, 5, 9, 2, 6, 5, 3], [2, 7, 1, 8, np.nan, 8, 1, 8]], np.float32)
TEXTS = ("a good film", "a bad film , dull")


def test_the_server_introduces_itself(client: Client) -> None:
    """Alive, ready, and with the extensions that it has."""
    assert client.is_server_live()
    assert client.is_server_ready()
    told = client.get_server_metadata()
    assert told["name"] == "rnnserve"
    assert set(told["extensions"]) == {
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "parameters",
        "sequence",
        "sequence(string_id)",
        "statistics",
    }


def test_a_model_tells_its_tensors(client: Client) -> None:
    """Names, types and shapes, by name and by version; the configuration says the same."""
    told = client.get_model_metadata("series")
    ModelMetadata.model_validate(told)
    assert told["versions"] == ["1", "2"]
    assert told["inputs"] == [{"name": "values", "datatype": "FP32", "shape": [-1, -1]}]
    assert {one["name"]: one["shape"] for one in told["outputs"]}["quantiles"] == [-1, -1, -1]
    assert told["parameters"]["max_horizon"] == HORIZON
    assert client.get_model_metadata("series", "1") == told
    config = client.get_model_config("mood", "1")
    ModelConfig.model_validate(config)
    assert config["max_batch_size"] == 0
    assert [(one["name"], one["data_type"], one.get("optional")) for one in config["input"]] == [
        ("text", "TYPE_STRING", None),
        ("tokens", "TYPE_INT64", True),
    ]
    names = {one["name"] for one in client.get_model_metadata("mood")["outputs"]}
    assert {one["name"] for one in config["output"]} == names


def test_readiness_is_by_model_and_version(client: Client) -> None:
    """What is not served is not ready, and says so with 404."""
    assert client.is_model_ready("series")
    assert client.is_model_ready("series", "2")
    assert not client.is_model_ready("series", "3")
    assert not client.is_model_ready("nobody")
    with pytest.raises(InferenceServerException, match="no model 'nobody' is served here") as raised:
        client.get_model_metadata("nobody")
    assert raised.value.status() == "404"


@pytest.mark.parametrize("binary", [True, False])
def test_forecasts_are_those_of_the_native_route(client: Client, native: httpx2.Client, binary: bool) -> None:
    """Bit for bit, from JSON and binary tensors, with a missing value, in a batch."""
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("mean", "quantiles")]
    got = client.infer(
        "series",
        [numbers(SERIES, binary=binary)],
        outputs=outputs,
        model_version="2",
        request_id="77",
        parameters={"horizon": 5, "levels": "80,50", "freq": "h"},
    )
    series = [{"values": [None if np.isnan(one) else float(one) for one in row]} for row in SERIES]
    asked = {"series": series, "horizon": 5, "levels": [80, 50], "freq": "h", "model": "series@2"}
    forecasts = native.post("/forecast", json=asked).json()["forecasts"]
    assert got.get_response()["id"] == "77"
    assert (got.get_response()["model_name"], got.get_response()["model_version"]) == ("series", "2")
    assert np.array_equal(got.as_numpy("mean"), np.array([one["mean"] for one in forecasts], np.float32))
    expected = np.array([list(one["quantiles"].values()) for one in forecasts], np.float32)
    assert np.array_equal(got.as_numpy("quantiles"), expected.transpose(0, 2, 1))
    assert got.get_output("quantiles")["parameters"]["levels"] == "0.1,0.25,0.75,0.9"


def test_parameters_can_be_left_out(client: Client) -> None:
    """The whole horizon and the trained levels; one axis is a batch of one; FP64 is read too."""
    got = client.infer("series", [numbers(SERIES[0])])
    assert got.as_numpy("mean").shape == (1, HORIZON)
    assert got.as_numpy("quantiles").shape[:2] == (1, HORIZON)
    assert got.as_numpy("step_forecast") is None
    wide = client.infer("series", [numbers(SERIES[:1], datatype="FP64")])
    assert np.array_equal(wide.as_numpy("mean"), got.as_numpy("mean"))


@pytest.mark.parametrize("binary", [True, False])
def test_verdicts_are_those_of_the_native_route(client: Client, native: httpx2.Client, binary: bool) -> None:
    """Labels as BYTES, and the probability of each label in the manifest's order."""
    got = client.infer(
        "mood",
        [texts(*TEXTS, binary=binary)],
        outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in ("scores", "label")],
    )
    results = native.post("/sentiment", json={"text": TEXTS, "model": "mood"}).json()["results"]
    assert [one["name"] for one in got.get_response()["outputs"]] == ["scores", "label"]
    assert words(got.as_numpy("label")) == [one["label"] for one in results]
    expected = np.array([[one["scores"][label] for label in LABELS] for one in results], np.float32)
    assert np.array_equal(got.as_numpy("scores"), expected)
    assert json.loads(got.get_output("scores")["parameters"]["labels"]) == list(LABELS)


def test_texts_are_those_of_the_native_route(client: Client, native: httpx2.Client) -> None:
    """The same seed gives the same text; a batch has ascending seeds, so equal prompts differ."""
    parameters = {"max_tokens": 24, "temperature": 1.3, "seed": 5, "stop": "."}
    got = client.infer("text", [texts("a film", "a film", name="prompt")], parameters=parameters)
    expected = [
        native.post("/generate", json=parameters | {"prompt": "a film", "model": "text", "seed": seed}).json()
        for seed in (5, 6)
    ]
    assert words(got.as_numpy("text")) == [one["choices"][0]["text"] for one in expected]
    assert words(got.as_numpy("finish_reason")) == [one["choices"][0]["finish_reason"] for one in expected]
    assert got.as_numpy("completion_tokens").tolist() == [
        one["usage"]["completion_tokens"] for one in expected
    ]
    assert got.as_numpy("seed").tolist() == [5, 6]
    ids = client.infer(
        "text", [texts("a film", name="prompt")], outputs=[triton.InferRequestedOutput("step_id")]
    )
    fed = numbers(ids.as_numpy("step_id"), name="tokens", datatype="INT64")
    assert words(client.infer("text", [fed], parameters=parameters).as_numpy("text")) == words(
        got.as_numpy("text")[:1]
    )
    drawn = client.infer("text", [texts("a film", name="prompt")], parameters={"max_tokens": 8})
    again = {"max_tokens": 8, "seed": int(drawn.as_numpy("seed")[0])}
    repeated = client.infer("text", [texts("a film", name="prompt")], parameters=again)
    assert words(repeated.as_numpy("text")) == words(drawn.as_numpy("text"))


def test_every_announced_output_can_be_asked_for(client: Client) -> None:
    """All at once, as measuring tools do; each has the announced type and number of axes."""
    for model, given in (
        ("series", numbers(SERIES)),
        ("mood", texts(TEXTS[0])),
        ("text", texts("a film", name="prompt")),
    ):
        announced = client.get_model_metadata(model)["outputs"]
        outputs = [triton.InferRequestedOutput(one["name"]) for one in announced]
        got = client.infer(model, [given], outputs=outputs)
        assert [one["name"] for one in got.get_response()["outputs"]] == [one["name"] for one in announced]
        for one in announced:
            shape = got.as_numpy(one["name"]).shape
            assert got.get_output(one["name"])["datatype"] == one["datatype"]
            assert len(shape) == len(one["shape"])
            assert all(size in (-1, found) for size, found in zip(one["shape"], shape, strict=True))


def test_binary_and_json_outputs_mix(client: Client, native: httpx2.Client) -> None:
    """Each output as it asks for it, whatever the request asks of all."""
    body = {
        "parameters": {"binary_data_output": True, "horizon": 2},
        "inputs": [{"name": "values", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 4, 3]]}],
        "outputs": [
            {"name": "mean", "parameters": {"binary_data": False}},
            {"name": "quantiles"},
        ],
    }
    answer = native.post("/v2/models/single/infer", json=body)
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    head = json.loads(answer.content[:length])
    InferAnswer.model_validate(head)
    mean, quantiles = head["outputs"]
    assert len(mean["data"]) == 2
    assert "data" not in quantiles
    assert len(answer.content) - length == quantiles["parameters"]["binary_data_size"]
    plain = native.post("/v2/models/single/infer", json=body | {"parameters": {"horizon": 2}})
    assert np.array_equal(np.array(plain.json()["outputs"][0]["data"]), np.array(mean["data"]))
    assert "server-timing" in plain.headers


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(client: Client, algorithm: str) -> None:
    """As the client compresses them; it also takes an answer that is not compressed."""
    plain = client.infer("single", [numbers(SERIES)])
    packed = client.infer(
        "single",
        [numbers(SERIES)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert np.array_equal(packed.as_numpy("mean"), plain.as_numpy("mean"))


def test_requests_in_flight_are_answered_each(client: Client) -> None:
    """The client's own concurrency; every answer is that of its own request."""
    rows = [SERIES[:1] + number for number in range(16)]
    pending = [client.async_infer("single", [numbers(row)], request_id=str(n)) for n, row in enumerate(rows)]
    # All are read before anything else is asked: an answer that is not read keeps its connection, of
    # which the client has eight, and waits for ever when they are all kept.
    answers = [one.get_result() for one in pending]
    for number, (row, got) in enumerate(zip(rows, answers, strict=True)):
        assert got.get_response()["id"] == str(number)
        alone = client.infer("single", [numbers(row)])
        assert np.array_equal(got.as_numpy("quantiles"), alone.as_numpy("quantiles"))


async def test_the_asyncio_client_gets_the_same(server: ServerProcess, client: Client) -> None:
    """Metadata, inference and errors, several at a time."""
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as other:
        assert await other.is_server_ready()
        assert await other.get_model_metadata("mood") == client.get_model_metadata("mood")
        found = await asyncio.gather(*(other.infer("mood", [texts(text)]) for text in TEXTS))
        expected = client.infer("mood", [texts(*TEXTS)])
        scores = np.concatenate([one.as_numpy("scores") for one in found])
        assert np.array_equal(scores, expected.as_numpy("scores"))
        with pytest.raises(InferenceServerException, match="unexpected inference input"):
            await other.infer("mood", [texts("x", name="prompt")])


def test_a_body_may_be_nothing_but_the_data(native: httpx2.Client, client: Client) -> None:
    """A header length of 0 makes the body the input: a text, or a row of numbers."""
    raw = {"inference-header-content-length": "0"}
    said = native.post("/v2/models/mood/infer", content=TEXTS[0].encode(), headers=raw).json()
    assert said["outputs"][0]["data"] == words(client.infer("mood", [texts(TEXTS[0])]).as_numpy("label"))
    numbers_said = native.post("/v2/models/single/infer", content=SERIES[0].tobytes(), headers=raw).json()
    expected = client.infer("single", [numbers(SERIES[:1])]).as_numpy("mean")
    assert np.array_equal(np.array(numbers_said["outputs"][0]["data"], np.float32), expected[0])
    odd = native.post("/v2/models/single/infer", content=b"12345", headers=raw)
    assert (odd.status_code, odd.json()) == (
        400,
        {"error": "a raw body of FP32 has a multiple of 4 bytes, not 5"},
    )


def test_what_is_unknown_in_the_json_is_passed_over(native: httpx2.Client) -> None:
    """Fields that other servers read do no harm; KServe's clients nest the data."""
    body = {
        "model_name": "series",
        "inputs": [
            {
                "name": "values",
                "shape": [2, 3],
                "datatype": "FP32",
                "data": [[1, 2, 3], [4, 5, None]],
                "parameters": {"content_type": "np"},
            }
        ],
        "parameters": {
            "content_type": "np",
            "headers": {"a": "b"},
            "triton_enable_empty_final_response": True,
        },
    }
    answer = native.post("/v2/models/single/infer", json=body)
    assert answer.status_code == 200, answer.text
    InferAnswer.model_validate(answer.json())
    assert "id" not in answer.json()
