"""Requests that are not let in are counted by the reason, and under no route."""

from __future__ import annotations

from pathlib import Path

from app.access.api_key import issue_key
from tests.e2e.server import ServerProcess
from tests.telemetry.conftest import DEFAULT


def test_each_refusal_is_counted_by_its_reason(tiny_models: Path, tmp_path: Path) -> None:
    """No key, a wrong one, a role that is not enough."""
    key, entry = issue_key("reader")
    file = tmp_path / "keys.toml"
    file.write_text(entry)
    file.chmod(0o600)
    bearer = {"authorization": f"Bearer {key}"}
    with (
        ServerProcess(tiny_models, default=DEFAULT, keys=file) as server,
        server.client() as client,
    ):
        assert client.get("/models").status_code == 401
        assert client.get("/models", headers={"x-api-key": "wrong"}).status_code == 401
        assert client.post("/admin/models/reload", headers=bearer).status_code == 403
        text = client.get("/metrics", headers=bearer).text
        assert 'rnnserve_refused_total{reason="unauthenticated"} 2.0' in text
        assert 'rnnserve_refused_total{reason="forbidden"} 1.0' in text
        assert 'rnnserve_refused_total{reason="request_rate"} 0.0' in text
        assert key not in text
        assert "reader" not in text
