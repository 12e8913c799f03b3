"""``Server-Timing`` of every whole answer that ran a model, over a real socket."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.server import ServerProcess

ROUTES: dict[str, dict[str, Any]] = {
    "/forecast": {"values": [1, 2, 4], "horizon": 2},
    "/sentiment": {"text": ["good", "bad film"]},
    "/generate": {"max_tokens": 5},
    "/v1/completions": {"model": "tiny-text-lstm", "prompt": "ab", "max_tokens": 5},
}


@pytest.mark.parametrize("route", list(ROUTES))
def test_the_parts_are_within_the_whole(server: ServerProcess, route: str) -> None:
    """Milliseconds; the graph ran, and neither waiting nor running was longer than all of it."""
    with server.client() as client:
        answer = client.post(route, json=ROUTES[route])
    assert answer.status_code == 200, answer.text
    value = answer.headers["server-timing"]
    parts = {name: float(milliseconds) for name, milliseconds in re.findall(r"(\w+);dur=(\d+\.\d{3})", value)}
    assert list(parts) == ["queue", "compute", "total"]
    assert parts["compute"] > 0
    assert max(parts["queue"], parts["compute"]) <= parts["total"]
    assert parts["total"] <= answer.elapsed.total_seconds() * 1e3
