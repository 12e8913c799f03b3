"""Servers with sessions in memory, and what tests of their routes do again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.settings import Settings

DEFAULT = "forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm"
PROBLEM = "urn:rnnserve:problem:"


def settings(models: Path, **more: Any) -> Settings:
    """A server with sessions in memory."""
    return Settings(models=models, default=DEFAULT, sessions="memory:", **more)


def opened(client: TestClient, **fields: Any) -> str:
    """The id of a new session, on the forecaster unless a task is named."""
    answer = client.post("/sessions", json={"task": "forecast"} | fields)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that happens in the background."""
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)
