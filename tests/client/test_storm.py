"""The installed client in a process of its own, while the server is killed: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.kills import free_port
from rnnserve_client import SyncClient
from tests.client.storm import value
from tests.e2e.server import ServerProcess
from tests.wheels import Environment

SESSIONS, STEPS = 12, 24
KILLED_AT = (6, 30)
"""Rounds, of 2 times ``STEPS``, after which the server is killed."""


def test_a_storm_of_retries_loses_and_doubles_nothing(
    installed: Environment, tiny_models: Path, tmp_path: Path
) -> None:
    """Every answer is that of a serial run, and the server holds the sessions that were asked for alone."""
    port = free_port()
    flags: dict[str, Any] = {
        "state_dir": tmp_path / "state",
        "port": port,
        "default": "forecast=tiny-series-gru",
    }
    program = [str(installed.folder / "bin/python"), str(Path(__file__).parent / "storm.py")]
    url = f"http://127.0.0.1:{port}"
    server = ServerProcess(tiny_models, **flags)
    try:
        server.wait_until_ready()
        storm = subprocess.Popen(
            [*program, url, str(SESSIONS), str(STEPS)],
            stdout=subprocess.PIPE,
            text=True,
            env=installed.variables(),
            cwd=tmp_path,
        )
        with storm:
            assert storm.stdout is not None
            for rounds, line in enumerate(storm.stdout, start=1):
                if line != "round\n":
                    said = json.loads(line)
                if rounds in KILLED_AT:
                    server.kill()
                    server = ServerProcess(tiny_models, **flags)
        assert storm.returncode == 0
        assert rounds == 2 * STEPS + 1
        assert said["pauses"] >= SESSIONS * len(KILLED_AT) / 2
        check(url, said["outputs"])
    finally:
        server.kill()


def check(url: str, outputs: dict[str, list[dict[str, Any]]]) -> None:
    """Against sessions that nothing disturbs."""
    with SyncClient(url) as client:
        assert {info["id"]: info["step"] for info in client.sessions()} == dict.fromkeys(outputs, STEPS)
        assert len(outputs) == SESSIONS + SESSIONS // 2
        for id, answered in outputs.items():
            session = client.create(task="forecast")
            origin = id.removesuffix("-fork")
            assert session.feed([value(origin, step) for step in range(1, STEPS + 1)]).outputs == answered
            session.close()
