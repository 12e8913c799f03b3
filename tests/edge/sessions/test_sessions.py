"""Routes that open, find and end sessions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.sessions.schema import (
    CreateSession,
    ForkRequest,
    RewindRequest,
    StatelessRequest,
    StepRequest,
    StepsRequest,
)
from app.tasks.forecast.task import FORECAST
from app.tasks.generate.actions import GENERATE
from tests.edge.fake_service import FakeEdge
from tests.edge.sessions.routes import PROBLEM, opened, settings, until


def test_a_session_is_created_with_its_address(client: TestClient) -> None:
    """201, Location, and what it is."""
    answer = client.post("/sessions", json={"task": "sentiment", "metadata": {"room": 7}, "ttl_seconds": 60})
    info = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/sessions/{info['id']}"
    assert (info["model"], info["step"], info["metadata"]) == ("tiny-mood-gru@1", 0, {"room": 7})
    assert client.get(answer.headers["location"]).json() == info


def test_drawn_ids_differ_and_are_long(client: TestClient) -> None:
    """Nobody guesses one."""
    ids = {opened(client) for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[0-9a-f]{36}", id) for id in ids)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"),
        ({"task": "music"}, "task"),
        ({"task": "forecast", "id": "a/b"}, "id"),
        ({"task": "forecast", "id": "-a"}, "id"),
        ({"task": "forecast", "ttl_seconds": 0}, "ttl_seconds"),
        ({"task": "forecast", "ttl_seconds": 1e9}, "ttl_seconds"),
        ({"task": "forecast", "options": {"freq": "parsec"}}, "options.freq"),
        ({"task": "forecast", "metadata": {"a": "x" * 5000}}, "metadata"),
        ({"task": "forecast", "stat": "x"}, "stat"),
    ],
)
def test_a_wrong_field_of_a_new_session_is_named(client: TestClient, body: Any, field: str) -> None:
    """422, and nothing is created."""
    answer = client.post("/sessions", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_sessions_are_listed_in_pages(tiny_models: Path) -> None:
    """In the order of their ids, and the pages together have all."""
    with TestClient(create_app(settings(tiny_models, session_max_page=3))) as client:
        ids = sorted(opened(client, id=f"s-{number}") for number in range(7))
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = client.get("/sessions", params={"after": after, "limit": 100}).json()
            assert len(page["sessions"]) <= 3
            found += [one["id"] for one in page["sessions"]]
            after = page["next"]
        assert found == ids
        assert client.get("/sessions?limit=2").json()["next"] == "s-1"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "before=a", "limit=1&limit=2"])
def test_a_wrong_query_names_its_parameter(client: TestClient, query: str) -> None:
    """422 with the field."""
    answer = client.get(f"/sessions?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in ("limit", "before", "query")


def test_a_closed_session_says_when_and_where_it_ended(client: TestClient) -> None:
    """204, then 410 with reason, time and last step as members of the problem; its id is free again."""
    id = opened(client)
    client.post(f"/sessions/{id}/steps", json={"inputs": [1, 2]})
    assert client.delete(f"/sessions/{id}").status_code == 204
    for answer in (
        client.get(f"/sessions/{id}"),
        client.delete(f"/sessions/{id}"),
        client.post(f"/sessions/{id}/steps", json={"seq": 3, "inputs": 1}),
    ):
        assert answer.status_code == 410
        problem = answer.json()
        assert (problem["reason"], problem["step"]) == ("closed", 2)
        assert problem["ended_at"].endswith("Z")
    assert opened(client, id=id) == id


def test_an_expired_session_is_gone(tiny_models: Path) -> None:
    """410 with the reason; the sweep counts it."""
    with TestClient(create_app(settings(tiny_models, session_ttl_s=0.05))) as client:
        id = opened(client)
        until(lambda: client.get(f"/sessions/{id}").status_code == 410)
        assert client.get(f"/sessions/{id}").json()["reason"] == "expired"
        until(lambda: 'session_events_total{event="expired"} 1.0' in client.get("/metrics").text)


@pytest.mark.parametrize("id", ["nobody", "-", "%00", "a" * 500])
def test_an_unknown_session_is_404(client: TestClient, id: str) -> None:
    """Also for names that no session can have."""
    for answer in (
        client.get(f"/sessions/{id}"),
        client.post(f"/sessions/{id}/steps", json={"inputs": 1}),
        client.get(f"/sessions/{id}/state"),
        client.post(f"/sessions/{id}/fork", json={}),
        client.get(f"/sessions/{id}/snapshots"),
        client.post(f"/sessions/{id}/rewind", json={"to": 0}),
        client.post(f"/sessions/{id}/generate", json={}),
        client.delete(f"/sessions/{id}"),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == PROBLEM + "unknown-session"


def test_there_is_room_for_so_many(tiny_models: Path) -> None:
    """503 with Retry-After beyond; a closed one makes room."""
    with TestClient(create_app(settings(tiny_models, max_sessions=2))) as client:
        first, _ = opened(client), opened(client)
        full = client.post("/sessions", json={"task": "forecast"})
        assert full.status_code == 503
        assert full.json()["type"] == PROBLEM + "store-full"
        assert int(full.headers["retry-after"]) > 0
        client.delete(f"/sessions/{first}")
        opened(client)


def test_without_sessions_their_routes_say_so() -> None:
    """404 with a sentence; so does the handshake of a socket."""
    with TestClient(FakeEdge().app) as client:
        for answer in (
            client.get("/sessions"),
            client.post("/sessions", json={}),
            client.post("/steps", json={"inputs": 1}),
        ):
            assert answer.status_code == 404
            assert "sessions are turned off" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/sessions", CreateSession),
        ("/sessions/{id}/fork", ForkRequest),
        ("/sessions/{id}/rewind", RewindRequest),
        ("/sessions/{id}/steps", StepRequest),
        ("/sessions/steps", StepsRequest),
        ("/sessions/{id}/forecast", FORECAST.request),
        ("/sessions/{id}/generate", GENERATE.request),
        ("/steps", StatelessRequest),
    ],
)
def test_the_examples_of_the_documentation_are_valid(client: TestClient, path: str, model: Any) -> None:
    """Whoever presses the button sends a good request."""
    operation = client.get("/openapi.json").json()["paths"][path]["post"]
    given = operation["requestBody"]["content"]["application/json"]["examples"]
    assert given
    for example in given.values():
        model.model_validate(example["value"])


def test_the_paths_are_documented_with_their_parameters(client: TestClient) -> None:
    """The machine-readable form knows the id of each path."""
    paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        if "{id}" in path:
            for operation in operations.values():
                assert [one["name"] for one in operation["parameters"] if one["in"] == "path"] == ["id"]
