"""Routes, documentation and probes, in this process with a fake service."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from app.registered import TASKS
from app.tasks.forecast.csv_body import CsvQuery, read_csv
from app.tasks.forecast.schema import ForecastLimits
from app.tasks.task import Task
from tests.edge.fake_service import FakeEdge


def test_answers_say_where_the_time_went(client: TestClient) -> None:
    """Server-Timing is in milliseconds."""
    answer = client.post("/sentiment", json={"text": ["a", "b"]})
    assert answer.headers["server-timing"] == "queue;dur=1.000, compute;dur=2.000, total;dur=4.000"
    assert [one["label"] for one in answer.json()["results"]] == ["good", "good"]


def test_csv_and_json_are_the_same_request(client: TestClient) -> None:
    """The answers are equal."""
    as_json = client.post("/forecast", json={"series": [{"id": "a", "values": [1, 2]}], "horizon": 2})
    as_csv = client.post("/forecast?horizon=2", content="a\n1\n2\n", headers={"content-type": "text/csv"})
    assert as_csv.json() == as_json.json()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?horizon=0", "horizon"),
        ("?horizon=x", "horizon"),
        ("?horizon=2&no=1", "no"),
        ("?horizon=2&horizon=3", "query"),
    ],
)
def test_a_wrong_query_of_a_csv_names_its_parameter(client: TestClient, query: str, field: str) -> None:
    """The same problem document as for a body."""
    answer = client.post(f"/forecast{query}", content="a\n1\n2\n", headers={"content-type": "text/csv"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_large_csv_is_read_off_the_loop_and_answers_the_same(client: TestClient) -> None:
    """Beyond the size where reading would stall others, the answer does not change."""
    text = "a\n" + "1.25\n" * 30_000
    answer = client.post(
        "/forecast?horizon=1", content=text, headers={"content-type": "text/csv; charset=utf-8"}
    )
    assert answer.json()["forecasts"][0]["mean"] == [1.25]


def event_of(text: str) -> tuple[str, dict[str, Any]]:
    """Name and data of a server-sent event."""
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    return fields["event"], json.loads(fields["data"])


def test_a_stream_begins_with_tokens_and_ends_with_done(client: TestClient) -> None:
    """Server-sent events, one per frame, named by type."""
    answer = client.post("/generate", json={"max_tokens": 2, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    events = [event_of(text) for text in answer.text.split("\n\n") if text]
    assert [kind for kind, _ in events] == ["token", "token", "done"]
    assert all(frame["type"] == kind for kind, frame in events)


def test_a_stream_that_fails_ends_with_an_error_event(edge: FakeEdge, client: TestClient) -> None:
    """The status was 200 by then, so the event says it."""
    edge.service.error = ZeroDivisionError("secret")
    answer = client.post("/generate", json={"max_tokens": 1, "stream": True})
    kind, frame = event_of(answer.text.split("\n\n")[-2])
    assert kind == frame["type"] == "error"
    assert frame["status"] == 500
    assert "secret" not in answer.text
    assert edge.service.streams[0].cancelled


EXAMPLES = [(task, kind) for task in TASKS for kind in task.examples]


@pytest.mark.parametrize(("task", "kind"), EXAMPLES, ids=[f"{task.name}-{kind}" for task, kind in EXAMPLES])
def test_examples_are_valid(task: Task, kind: str) -> None:
    """Each is a request of its task."""
    TypeAdapter(task.request).validate_json(json.dumps(task.examples[kind]["value"]))


def test_csv_examples_are_valid() -> None:
    """With a horizon, each is a request."""
    (forecast,) = [task for task in TASKS if task.name == "forecast"]
    for example in forecast.reads[0].examples.values():
        read = read_csv(example["value"].encode(), CsvQuery(horizon=3), ForecastLimits())
        assert read.all_series()[0].freq == "MS"


def test_the_documentation_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    """Its scripts and styles come from this server, and are there."""
    page = client.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert "//" not in link
        assert client.get(f"/{link}").status_code == 200


def openapi(client: TestClient) -> dict[str, Any]:
    """The API's description."""
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def test_the_description_has_every_route_with_its_bodies(client: TestClient) -> None:
    """JSON, CSV, events, and the problem document for each refusal."""
    paths = openapi(client)["paths"]
    assert {"/forecast", "/sentiment", "/generate", "/models", "/models/{name}"} < set(paths)
    assert {"/healthz", "/readyz", "/metrics"} < set(paths)
    forecast = paths["/forecast"]["post"]
    assert set(forecast["requestBody"]["content"]) == {"application/json", "text/csv"}
    assert set(paths["/generate"]["post"]["responses"]["200"]["content"]) == {
        "application/json",
        "text/event-stream",
    }
    for path in ("/forecast", "/sentiment", "/generate"):
        responses = paths[path]["post"]["responses"]
        for status in ("404", "413", "415", "422", "503", "504"):
            reference = responses[status]["content"]["application/problem+json"]["schema"]["$ref"]
            assert reference == "#/components/schemas/ProblemDetail"
        assert paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]


def test_every_operation_says_what_it_does_in_a_few_words(client: TestClient) -> None:
    """Each in other words than the others, but for those on one version of a model."""
    found: dict[str, set[str]] = {}
    for path, item in openapi(client)["paths"].items():
        for method, operation in item.items():
            assert 2 <= len(operation["summary"].split()) <= 8, (path, operation["summary"])
            address = f"{method} {path.replace('/versions/{version}', '')}"
            found.setdefault(operation["summary"], set()).add(address)
    assert [summary for summary, addresses in found.items() if len(addresses) > 1] == []


def test_every_reference_of_the_description_resolves(client: TestClient) -> None:
    """No schema is named that is not there."""
    document = openapi(client)
    for reference in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]


def test_readiness_follows_engines_models_and_the_drain(edge: FakeEdge, client: TestClient) -> None:
    """Each reason flips it and is named; a dead engine flips liveness too."""
    assert client.get("/readyz").json() == {"ready": True, "reason": None, "models": ["fake@1"]}
    edge.alive = False
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["reason"]) == (503, "the engine of fake@1 has stopped")
    health = client.get("/healthz")
    assert (health.status_code, health.json()) == (503, {"status": "failed", "dead": ["fake@1"]})
    edge.alive = True
    edge.service.catalog.deployments.clear()
    assert client.get("/readyz").json()["reason"] == "no model is served"
    edge.lifecycle.drain()
    assert client.get("/readyz").json()["reason"] == "shutting down"
    assert client.get("/healthz").status_code == 200


def test_answers_are_counted_by_route_and_status(edge: FakeEdge, client: TestClient) -> None:
    """The label is the route's template; paths that clients invent share one label."""
    client.get("/healthz")
    client.get("/models/nobody")
    client.get("/invented/by/a/client")
    client.post("/sentiment", json={})
    text = client.get("/metrics").text
    assert 'rnnserve_http_responses_total{route="/healthz",status="200"} 1.0' in text
    assert 'rnnserve_http_responses_total{route="/models/{name}",status="404"} 1.0' in text
    assert 'rnnserve_http_responses_total{route="other",status="404"} 1.0' in text
    assert 'rnnserve_http_responses_total{route="/sentiment",status="422"} 1.0' in text
