"""An application with sessions in memory, on tiny bundles with real engines, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings

DEFAULT = "forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm"
PROBLEM = "urn:rnnserve:problem:"


def asking(models: Path, **more: Any) -> TestClient:
    """Asks an application that is started and stopped as a server does it."""
    return TestClient(create_app(Settings(models=models, default=DEFAULT, sessions="memory:", **more)))


def opened(client: TestClient, **fields: Any) -> str:
    """The id of a new session, on the forecaster unless a task is named."""
    answer = client.post("/sessions", json={"task": "forecast"} | fields)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id
