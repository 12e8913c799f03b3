"""The health of ``/v2`` when something is wrong, which a fake server can be made to be."""

from __future__ import annotations

from starlette.testclient import TestClient

from app.protocols.oip import OIP
from tests.edge.fake_service import FakeEdge


def test_a_dead_engine_is_neither_live_nor_ready() -> None:
    """False is a status of 4xx in this protocol, with the reason."""
    edge = FakeEdge(protocols=(OIP,))
    client = TestClient(edge.app)
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    edge.alive = False
    for path in ("/v2/health/live", "/v2/health/ready"):
        answer = client.get(path)
        assert answer.status_code == 400
        assert answer.json() == {"error": "the engine of fake@1 has stopped"}


def test_a_server_that_shuts_down_is_live_and_not_ready() -> None:
    """So that it gets no further requests, and is not killed for it."""
    edge = FakeEdge(protocols=(OIP,))
    client = TestClient(edge.app)
    edge.lifecycle.drain()
    assert client.get("/v2/health/live").status_code == 200
    answer = client.get("/v2/health/ready")
    assert (answer.status_code, answer.json()) == (400, {"error": "shutting down"})
