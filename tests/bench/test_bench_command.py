"""``rnnserve bench`` against a real server, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.forked import completed
from tests.e2e.server import REPOSITORY, ServerProcess

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """Serves tiny bundles."""
    default = "forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm"
    with ServerProcess(tiny_models, default=default) as process:
        yield process


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The command."""
    return completed(["bench", *words], os.environ, REPOSITORY)


def bench(server: ServerProcess, *words: str) -> dict[str, Any]:
    """Its document, after a short run without failures."""
    done = run(server.url, "--seconds", "0.5", "--warm-s", "0.1", "--clients", "4", "--json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["result"]["answered"] > 0
    assert not document["result"]["failures"]
    return document


@pytest.mark.parametrize(
    "scenario",
    [
        ["--horizon", "6"],
        ["--horizon", "6", "--rate", "50"],
        ["--scenario", "sentiment"],
        ["--scenario", "generate", "--tokens", "5"],
        ["--scenario", "generate", "--tokens", "5", "--way", "http"],
        ["--scenario", "sessions"],
        ["--scenario", "sessions", "--rate", "50"],
        ["--scenario", "sessions", "--way", "socket", "--task", "forecast"],
        ["--scenario", "sessions", "--way", "http", "--task", "sentiment"],
    ],
    ids=lambda words: "-".join(words).replace("--", ""),
)
def test_every_scenario_runs(server: ServerProcess, scenario: list[str]) -> None:
    """Closed and open, each way; good answers come back, and sessions that it made are ended."""
    document = bench(server, *scenario)
    assert document["load"]["loop"] == ("open" if "--rate" in scenario else "closed")
    if "generate" in scenario:
        assert document["result"]["tokens"] > 0
        assert document["result"]["first_token_ms"]
    with server.client() as client:
        assert client.get("/sessions").json()["sessions"] == []


def test_sessions_are_fed_exactly_once_each(server: ServerProcess) -> None:
    """Every answer is a step of a session: the server has stepped as often as the load was answered."""
    before = server.metric("rnnserve_session_steps_total")
    document = bench(
        server, "--scenario", "sessions", "--warm-s", "0", "--max-events", "50", "--seconds", "30"
    )
    assert document["result"]["answered"] == 50
    assert server.metric("rnnserve_session_steps_total") - before == 50


def test_a_refusal_is_a_failure_and_exit_status_1(server: ServerProcess) -> None:
    """What the server says is counted under its name."""
    done = run(
        server.url, "--seconds", "0.3", "--warm-s", "0", "--model", "nobody", "--json", "--clients", "1"
    )
    assert done.returncode == 1
    assert set(json.loads(done.stdout)["result"]["failures"]) == {"status 404 unknown-model"}


def test_people_get_a_table(server: ServerProcess) -> None:
    """Without --json."""
    done = run(server.url, "--seconds", "0.3", "--clients", "2", "--horizon", "2")
    assert done.returncode == 0
    assert "latency" in done.stdout
    assert "p99" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["http://127.0.0.1:1"], "127.0.0.1:1"),
        (["http://127.0.0.1:1", "--scenario", "sessions"], "127.0.0.1:1"),
        (["http://127.0.0.1:1", "--seconds", "0"], "seconds must be from 0.1"),
        (["nonsense"], "is not the address of a server"),
    ],
)
def test_what_cannot_be_run_is_exit_status_2(words: list[str], says: str) -> None:
    """One line that says why, no traceback."""
    done = run(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("missing", "says"),
    [("picows", "this load needs picows; "), ("rnnserve_bench", "bench comes with the client; ")],
)
def test_what_is_not_installed_is_named_with_the_way_to_get_it(missing: str, says: str) -> None:
    """The client, or what its extra brings."""
    code = f"import sys; sys.modules[{missing!r}] = None; from app.cli import main; main()"
    command = [sys.executable, "-c", code, "bench", "http://127.0.0.1:1", "--scenario", "generate"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"rnnserve: {says}in a checkout: pip install './client[bench]'\n"
