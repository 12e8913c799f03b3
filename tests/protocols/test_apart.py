"""Each protocol stands alone: without it the server starts, and serves everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app import main
from app.edge.protocol import Protocol
from app.settings import Settings

PATHS = {"/v1/": ("/v1/models", "/v1/completions"), "/v2": ("/v2", "/v2/health/live", "/v2/models/x/infer")}


@pytest.mark.parametrize("left_out", main.PROTOCOLS, ids=lambda one: one.prefix.strip("/"))
def test_the_server_starts_without_a_protocol(
    left_out: Protocol, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths are unknown, as any other, and in no document; those of the others answer."""
    others = tuple(one for one in main.PROTOCOLS if one is not left_out)
    monkeypatch.setattr(main, "PROTOCOLS", others)
    with TestClient(main.create_app(Settings(models=tiny_models, sessions="memory:"))) as client:
        for method in ("GET", "POST"):
            for path in PATHS[left_out.prefix]:
                answer = client.request(method, path)
                assert answer.status_code == 404, (method, path)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["type"] == "urn:rnnserve:problem:not-found"
        for other in others:
            assert client.get(PATHS[other.prefix][0]).status_code == 200
            assert client.get(f"{other.prefix}/nothing").headers["content-type"] == "application/json"
        assert client.get("/readyz").status_code == 200
        assert client.post("/sentiment", json={"text": "good"}).status_code == 200
        document = client.get("/openapi.json").json()
    assert not [path for path in document["paths"] if path.startswith(left_out.prefix)]
