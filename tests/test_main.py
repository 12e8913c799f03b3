"""What the composition root wires: engines, readiness, metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.core.plan import Batch, BatchResult
from app.main import create_app
from app.runtime.executor import GraphExecutor
from app.settings import Settings
from tests.bundles import tiny_classifier, tiny_generator


class Dying(GraphExecutor):
    """An executor whose thread ends at its first run."""

    def run(self, batch: Batch) -> BatchResult:
        """End the thread."""
        raise SystemExit("out of memory")


def test_a_dead_engine_fails_its_waiters_and_flips_the_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its requests get 503 and its name is in the probes and metrics; other models still answer."""
    tiny_classifier(tmp_path, name="healthy")
    tiny_generator(tmp_path, name="ill")
    executors = {"healthy@1": GraphExecutor, "ill@1": Dying}
    chosen = iter([executors["healthy@1"], executors["ill@1"]])
    monkeypatch.setattr("app.registry.loading.GraphExecutor", lambda *arguments: next(chosen)(*arguments))
    with TestClient(create_app(Settings(models=tmp_path, sessions="memory:"))) as client:
        assert client.get("/readyz").status_code == 200
        for _ in range(2):
            answer = client.post("/generate", json={"max_tokens": 3})
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:rnnserve:problem:engine-dead"
        assert client.get("/readyz").json()["reason"] == "the engine of ill@1 has stopped"
        assert client.get("/healthz").json() == {"status": "failed", "dead": ["ill@1"]}
        assert client.post("/sentiment", json={"text": "good"}).status_code == 200
        text = client.get("/metrics").text
        assert 'rnnserve_engine_up{model="ill@1"} 0.0' in text
        assert 'rnnserve_engine_up{model="healthy@1"} 1.0' in text
