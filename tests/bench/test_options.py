"""What a run refuses before it touches the network."""

from __future__ import annotations

from typing import Any

import pytest

from app.tasks.forecast.task import TASK as FORECAST
from app.tasks.generate.task import TASK as GENERATE
from rnnserve_bench.options import BenchError, BenchOptions

GOOD = "http://localhost:8000"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "localhost:8000"}, "is not the address of a server"),
        ({"url": "ftp://localhost"}, "is not the address of a server"),
        ({"url": "http://localhost:99999"}, "is not the address of a server"),
        ({"url": "http://localhost/?a=1"}, "is not the address of a server"),
        ({"clients": 0}, "clients must be from 1 to 20,000, not 0"),
        ({"clients": 30_000}, "clients must be from 1 to 20,000"),
        ({"seconds": 0}, "seconds must be from 0.1 to 3,600"),
        ({"seconds": 1e9}, "seconds must be from 0.1 to 3,600"),
        ({"seconds": float("nan")}, "seconds must be from 0.1 to 3,600"),
        ({"warm_s": -1}, "warm_s must be from 0 to 600"),
        ({"rate": 0.0}, "rate must be from 0.01 to 1,000,000"),
        ({"rate": float("inf")}, "rate must be from 0.01 to 1,000,000"),
        ({"max_events": 0}, "max_events must be from 1"),
        ({"fields": {"points": 1}}, "points must be from 2"),
        ({"way": "shared"}, "forecast goes over http, not shared"),
        ({"task": "generate", "load": GENERATE.load, "fields": {"tokens": 0}}, "tokens must be from 1"),
        (
            {"task": "generate", "load": GENERATE.load, "way": "shared"},
            "generate goes over socket or http, not shared",
        ),
    ],
)
def test_silly_values_are_refused(wrong: dict[str, Any], says: str) -> None:
    """With the field, what it was and what is allowed."""
    with pytest.raises(BenchError, match=says):
        BenchOptions(**{"url": GOOD, "task": "forecast", "load": FORECAST.load, **wrong})


def test_more_connections_than_open_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of failing in the middle of the run; sessions that share connections need few."""
    monkeypatch.setattr("resource.getrlimit", lambda kind: (256, 256))
    with pytest.raises(BenchError, match="500 connections need more open files than the 256"):
        BenchOptions(GOOD, "forecast", FORECAST.load, clients=500)
    assert BenchOptions(GOOD, "forecast", FORECAST.load, sessions=True, clients=500).connections == 4
