"""Hundreds of bundles, copies of a few under names of their own; and what a server says of their memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx2

VALUES = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
FORECAST: dict[str, Any] = {"values": VALUES, "horizon": 3}


def copy_as(bundle: Path, models: Path, name: str) -> Path:
    """A bundle under another name; its files are shared, but for the manifest."""
    target = models / name / "1"
    target.mkdir(parents=True)
    for file in bundle.iterdir():
        if file.name != "manifest.json":
            os.link(file, target / file.name)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (target / "manifest.json").write_text(json.dumps(manifest | {"name": name}))
    return target


def in_memory(client: httpx2.Client) -> list[str]:
    """Names of the models that ``GET /models`` says are loaded."""
    return [one["name"] for one in client.get("/models").json()["models"] if one["loaded"]]


def forecast(client: httpx2.Client, model: str) -> Any:
    """The forecasts of a model."""
    answer = client.post("/forecast", json=FORECAST | {"model": model})
    assert answer.status_code == 200, answer.text
    return answer.json()["forecasts"]


def memory_of(pid: int) -> int:
    """Bytes of a process that no file backs."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024
