"""Every benchmark of the page, as short as it gets: it runs, and its figures are there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
REPOSITORY = Path(__file__).parent.parent.parent
# Servers of all shipped bundles load those that are asked.
_SHORT = {"BENCHMARK_RUN": "smoke", "RNNSERVE_LOAD": "on-demand"}
WORDS = {
    "forecast": "--seconds 0.2 --rounds 1 --no-peers --connections 1",
    "stateful": "--seconds 0.3 --rounds 1 --no-peers --sessions 8 --stores process,redis",
    "generation": "--seconds 0.3 --rounds 1 --streams 4 --firsts 3",
    "engine": "--seconds 0.05 --rounds 1 --hidden 16 --cells gru --batches 1,4",
    "mixed": "--seconds 0.5 --rounds 1 --streams 2 --prompt 200 --prompts-per-s 10 --forecasts-per-s 10",
    "scaling": "--seconds 0.3 --rounds 1 --workers 1 --sessions 20 --soak-seconds 2",
    "beams": "--seconds 0.1 --rounds 1 --width 2 --vocabulary 200",
    "translate": "--seconds 0.3 --rounds 1 --connections 1,4",
    "caption": "--seconds 0.3 --rounds 1 --connections 4",
    "replicas": "--replicas 1 --sessions 8 --seconds 0.3 --rounds 1",
    "prompts": "--lengths 50 --rounds 1",
    "many_models": "--models 8 --room 3 --seconds 0.3 --connections 2 --idle-seconds 0",
    "overload": "--seconds 1 --sustain-seconds 0.5 --connections 100 --max-queued-steps 13000",
}
EXPECTED = {
    "forecast": [
        "p50, 1 connection",
        "raw ONNX Runtime, batch 2 x 16",
        "naive FastAPI, 2 workers, 1 connection",
    ],
    "stateful": ["rnnserve, shared WebSockets, lmdb", "rnnserve, HTTP, redis", "raw loop, batch 2 x 64"],
    "generation": [
        "4 streams, WebSocket",
        "4 streams, server-sent events",
        "first token, idle server, median",
    ],
    "engine": ["texts above the raw step, GRU of 16, batch 1", "blocks, GRU of 16, batch 4"],
    "mixed": ["between frames, p99, beside long work", "prompt of 200 tokens, p99 from when it was due"],
    "scaling": [
        "cold start to the first forecast",
        "memory of one more session, lmdb",
        "soak, RSS, last third",
    ],
    "beams": ["engine, 1 searches at once, 2 beams", "plain search, 64 searches at once, 2 beams"],
    "translate": ["greedy, 1 connection", "4 beams, 4 connections", "the same while long sources arrive"],
    "caption": ["greedy, 4 connections", "the same while pictures arrive"],
    "replicas": [
        "one server, 1 replicas: steps",
        "a cluster of three, 1 replicas: bytes to and from the store a step",
    ],
    "prompts": ["prompts of 50 characters, read by the server"],
    "many_models": ["first answer of a cold model, p50", "evictions", "threads with all loaded and idle"],
    "overload": ["forecasts, accepted, p99", "session steps, neither", "session steps, RSS at the end"],
}


@pytest.mark.parametrize("name", WORDS)
def test_a_benchmark_runs_and_writes_its_figures(name: str, tmp_path: Path) -> None:
    """A process of its own, with a folder of its own for results."""
    if name in ("forecast", "scaling") and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed (apt install wrk)")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *WORDS[name].split()],
        cwd=REPOSITORY,
        env=os.environ | {"BENCHMARK_RESULTS": str(tmp_path)} | _SHORT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    document = json.loads((tmp_path / f"{name}.json").read_text())
    assert document["run"] == "smoke"
    values = {figure["name"]: figure["value"] for figure in document["figures"]}
    assert set(EXPECTED[name]) <= set(values), sorted(values)
    assert all(value == value for value in values.values()), "no figure is NaN"
    compared = any(figure["ratio"] is not None for figure in document["figures"])
    assert (tmp_path / f"{name}.svg").exists() == compared
