"""Bodies that are wrong, or too much: each mistake is named, and nothing else happens."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2
import pytest

from tests.bundles import HORIZON
from tests.e2e.problems import problem

VALUES = [float(index % 7) for index in range(40)]
SERIES = "tiny-series-lstm"


def refused(client: httpx2.Client, path: str, body: object, field: str) -> dict[str, Any]:
    """The first field error of a request that must be refused with 422."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    listed: list[dict[str, Any]] = problem(answer, 422, "invalid-input")["errors"]
    assert listed[0]["field"] == field, listed
    return listed[0]


@pytest.mark.parametrize("path", ["/forecast", "/sentiment", "/generate"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"3", "JSON object"),
        (b"null", "JSON object"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"text": "\xc3\x28"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
    ],
)
def test_a_body_that_is_no_request_is_named_as_such(
    client: httpx2.Client, path: str, body: bytes, message: str
) -> None:
    """Empty, cut, deeply nested and wrongly encoded bodies are refused with the reason."""
    assert message in refused(client, path, body, "body")["message"]


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400])
def test_numbers_that_are_not_finite_name_their_element(client: httpx2.Client, literal: bytes) -> None:
    """The position of the element is in the field's path."""
    body = b'{"values": [1.0, 2.0, %s, 4.0], "horizon": 3}' % literal
    assert "finite" in refused(client, "/forecast", body, "values.2")["message"]
    body = b'{"series": [{"values": [1, 2]}, {"values": [%s, 1]}], "horizon": 3}' % literal
    refused(client, "/forecast", body, "series.1.values.0")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"values": VALUES, "horizon": 10 * HORIZON + 1}, "horizon"),
        ({"values": VALUES, "horizon": 0}, "horizon"),
        ({"values": VALUES, "horizon": -3}, "horizon"),
        ({"values": VALUES, "horizon": 10**6}, "horizon"),
        ({"values": VALUES, "horizon": 10**30}, "horizon"),
        ({"values": VALUES, "horizon": 2.5}, "horizon"),
        ({"values": VALUES, "horizon": "3"}, "horizon"),
        ({"values": VALUES, "horizon": True}, "horizon"),
        ({"values": VALUES, "horizon": []}, "horizon"),
        ({"values": [1.0, "2", 3.0], "horizon": 3}, "values.1"),
        ({"values": [1.0, 1e300], "horizon": 3}, "values.1"),
        ({"values": [1.0, [2.0]], "horizon": 3}, "values.1"),
        ({"values": [], "horizon": 3}, "values"),
        ({"values": [7.0], "horizon": 3}, "values"),
        ({"values": [None, None, None], "horizon": 3}, "values"),
        ({"values": [None, 7.0, None], "horizon": 3}, "values"),
        ({"values": "1,2,3", "horizon": 3}, "values"),
        ({"values": None, "horizon": 3}, "values"),
        ({"horizon": 3}, "values"),
        ({"series": [], "horizon": 3}, "series"),
        ({"series": [{"values": VALUES}, {"values": [None]}], "horizon": 3}, "series.1.values"),
        ({"series": [{"values": VALUES, "extra": 1}], "horizon": 3}, "series.0.extra"),
        ({"values": VALUES, "series": [{"values": VALUES}], "horizon": 3}, "values"),
        ({"values": VALUES, "horizon": 3, "horizont": 3}, "horizont"),
        ({"values": VALUES, "horizon": 3, "quantiles": [0.5, 1.0]}, "quantiles.1"),
        ({"values": VALUES, "horizon": 3, "quantiles": []}, "quantiles"),
        ({"values": VALUES, "horizon": 3, "levels": [100]}, "levels.0"),
        ({"values": VALUES, "horizon": 3, "levels": [80], "quantiles": [0.5]}, "levels"),
        ({"values": VALUES, "horizon": 3, "freq": "fortnight"}, "freq"),
        ({"values": VALUES, "horizon": 3, "freq": "h", "start": "yesterday"}, "start"),
        ({"values": VALUES, "horizon": 3, "freq": "h", "start": "2024-13-01"}, "start"),
        ({"values": VALUES, "horizon": 3, "freq": "YS", "start": "9999-01-01"}, "start"),
        ({"values": VALUES, "horizon": 3, "season": 0}, "season"),
        ({"values": VALUES, "horizon": 3, "model": 3}, "model"),
        ({"values": VALUES, "horizon": 3, "model": "x" * 1000}, "model"),
    ],
)
def test_a_wrong_forecast_request_names_its_field(
    client: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is named; what is allowed is said."""
    refused(client, "/forecast", body, field)


def test_a_horizon_beyond_the_models_is_refused_with_the_models_limit(client: httpx2.Client) -> None:
    """The limit in the answer is ten times the one the bundle was trained for."""
    error = refused(client, "/forecast", {"values": VALUES, "horizon": 10 * HORIZON + 1}, "horizon")
    assert error["allowed"] == {"min": 1, "max": 10 * HORIZON}
    assert str(10 * HORIZON) in error["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text.0"),
        ({"text": "   \n\t "}, "text"),
        ({"text": []}, "text"),
        ({"text": ["good", ""]}, "text.1"),
        ({"text": ["good", "  "]}, "text.1"),
        ({"text": ["good", 3]}, "text.1"),
        ({"text": 3}, "text"),
        ({"text": None}, "text"),
        ({"text": {"a": 1}}, "text"),
        ({"text": "good", "trace": "yes"}, "trace"),
        ({"text": "good " * 30_000}, "text"),
        ({"text": ["good"] * 1001}, "text"),
        ({"texts": "good"}, "text"),
    ],
)
def test_a_wrong_sentiment_request_names_its_field(
    client: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is named."""
    refused(client, "/sentiment", body, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": 3}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "a" * 100_001}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a", ""]}, "stop.1"),
        ({"stop": ["a"] * 9}, "stop"),
        ({"stop": 3}, "stop"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": 10**6}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"type": "stop"}, "type"),
    ],
)
def test_a_wrong_generation_request_names_its_field(
    client: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is named, for a stream as well, before the stream begins."""
    refused(client, "/generate", body, field)
    if "stream" not in body:
        refused(client, "/generate", body | {"stream": True}, field)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/forecast", {"values": VALUES, "horizon": 3}),
        ("/sentiment", {"text": "good"}),
        ("/generate", {"prompt": "a"}),
        ("/generate", {"prompt": "a", "stream": True}),
    ],
)
@pytest.mark.parametrize(
    "model", ["nobody", "tiny-series-lstm@9", "../../etc/passwd", "", "@", "tiny-mood-gru@"]
)
def test_an_unknown_model_is_a_404_that_lists_the_known(
    client: httpx2.Client, path: str, body: dict[str, Any], model: str
) -> None:
    """The answer lists the models that serve this task."""
    document = problem(client.post(path, json=body | {"model": model}), 404, "unknown-model")
    assert document["errors"][0]["field"] == "model"
    assert len(document["errors"][0]["allowed"]) == 3


def test_a_model_of_another_task_is_unknown_to_this_one(client: httpx2.Client) -> None:
    """A sentiment request cannot name a forecaster."""
    problem(client.post("/sentiment", json={"text": "good", "model": SERIES}), 404, "unknown-model")


@pytest.mark.parametrize(
    "kind", ["application/xml", "multipart/form-data; boundary=x", "text/csv", "image/png"]
)
def test_a_content_type_that_is_not_read_is_a_415(client: httpx2.Client, kind: str) -> None:
    """The answer says which is."""
    answer = client.post("/sentiment", content=b"good", headers={"content-type": kind})
    document = problem(answer, 415, "unsupported-media")
    assert document["errors"][0]["allowed"] == ["application/json"]


def test_ten_thousand_series_at_once_are_answered(client: httpx2.Client) -> None:
    """All of them, in order, each as it would be alone."""
    series = [
        {"id": str(index), "values": [index, index + 1.0, None, index + 3.0]} for index in range(10_000)
    ]
    answer = client.post("/forecast", json={"series": series, "horizon": 2, "quantiles": [0.5]})
    assert answer.status_code == 200
    forecasts = answer.json()["forecasts"]
    assert [one["id"] for one in forecasts] == [str(index) for index in range(10_000)]
    alone = client.post("/forecast", json={"series": [series[4321]], "horizon": 2, "quantiles": [0.5]})
    assert alone.json()["forecasts"][0] == forecasts[4321]


def test_more_series_than_the_limit_are_refused_with_the_limit(client: httpx2.Client) -> None:
    """10,001 series are one too many."""
    series = [{"values": [1.0, 2.0]}] * 10_001
    error = refused(client, "/forecast", {"series": series, "horizon": 2}, "series")
    assert error["allowed"] == {"max": 10_000}


@pytest.mark.parametrize(
    ("number", "message"),
    [(200_000, "has more than 1000 mistakes"), (1_000_000, "may hold 2097152 values, not ")],
)
def test_a_million_unknown_fields_are_refused_without_listing_them(
    client: httpx2.Client, number: int, message: str
) -> None:
    """The answer stays small; so many are not even parsed."""
    body = b"{" + b",".join(b'"%d":1' % index for index in range(number)) + b"}"
    started = time.monotonic()
    error = refused(client, "/generate", body, "body")
    assert message in error["message"]
    assert time.monotonic() - started < 60


LONG = "q" * 60_000
WIDE_CSV = ",".join(f"column-{number}" for number in range(50_000)) + "\n1,2\n3,4\n"


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/forecast", {LONG: 1, "values": VALUES, "horizon": 1}, {}),
        ("/forecast", {**{f"{number}{LONG}": 1 for number in range(20)}, "values": VALUES, "horizon": 1}, {}),
        ("/forecast?horizon=1&time=nowhere", WIDE_CSV, {"content-type": "text/csv"}),
        (f"/forecast?horizon=1&time={LONG}", "a,b\n1,2\n", {"content-type": "text/csv"}),
        (f"/forecast?horizon=1&targets={LONG}", "a,b\n1,2\n", {"content-type": "text/csv"}),
        (f"/forecast?horizon=1&{LONG}=1", "a,b\n1,2\n", {"content-type": "text/csv"}),
        ("/forecast?horizon=1", f"{LONG},b\nx,{LONG}\ny,{LONG}\n", {"content-type": "text/csv"}),
        ("/forecast", "x", {"content-type": f"text/{LONG[:30_000]}"}),
        ("/forecast", "x", {"content-encoding": LONG[:30_000]}),
        ("/forecast", "{}", {"origin": f"http://{LONG[:30_000]}"}),
        ("/generate", {"prompt": "a", LONG: 1}, {}),
        ("/v1/completions", {"prompt": "a", "model": "tiny-text-lstm", LONG: 1}, {}),
        (f"/v2/models/{LONG}/infer", {"inputs": []}, {}),
        (f"/admin/models/{LONG}/load", {}, {}),
        ("/sessions", {"task": "forecast", "options": {LONG[:4000]: 1}}, {}),
        ("/sessions/steps", {"steps": [{"id": "a", "inputs": 1, LONG: 1}]}, {}),
    ],
)
def test_what_the_client_wrote_is_told_to_it_in_part(
    client: httpx2.Client, path: str, body: Any, headers: dict[str, str]
) -> None:
    """However long it was, the answer is short."""
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post(path, content=content, headers=headers)
    assert 400 <= answer.status_code < 500
    assert len(answer.content) < 32_000


def test_the_end_of_a_long_message_is_kept(client: httpx2.Client) -> None:
    """Where the reason stands."""
    detail = client.post("/generate", json={"prompt": "a", LONG: 1}).json()["detail"]
    assert len(detail) <= 2000
    assert detail.startswith("qqq")
    assert detail.endswith("qqq: unknown field")
