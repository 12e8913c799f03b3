"""Batch work on a Ray cluster of two nodes, real ones on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.batch.conftest import Batch, daily
from tests.batch.ray_cluster import RayCluster
from tests.e2e.server import REPOSITORY

pytestmark = pytest.mark.long
pytest.importorskip("ray", reason="the extra `ray` is not installed")

WORDS = ("--horizon", "6", "--part-mb", "0.05")
WAIT_S = 180


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    """One whose processes find this checkout."""
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with RayCluster() as found:
        yield found


@contextmanager
def running(batch: Batch, given: Path, out: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """The command on a cluster, for as long as somebody looks at it."""
    process = batch.begin("forecast", given, out, *WORDS, "--ray", address)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_some_are_done(parts: Path, process: subprocess.Popen[str]) -> None:
    """A few parts, and not all."""
    until = time.monotonic() + WAIT_S
    while len(list(parts.glob("_part-*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_node_is_killed_and_nothing_is_missing_or_doubled(batch: Batch, cluster: RayCluster) -> None:
    """The file is byte for byte that of a run on this machine; a run that was ended goes on anywhere."""
    given = batch.write("big.csv", daily([f"s{number}" for number in range(1500)]))
    whole = batch.folder / "whole.csv"
    assert batch("forecast", given, whole, *WORDS) == 0, batch.said
    out = batch.folder / "out.csv"
    with running(batch, given, out, cluster.address) as process:
        until_some_are_done(batch.folder / ".out.csv.parts", process)
        cluster.tell("add")
        cluster.tell("kill")
        said = process.communicate(timeout=WAIT_S)[1]
    assert process.returncode == 0, said
    assert out.read_bytes() == whole.read_bytes()
    assert said.startswith(f"{out}: 1,500 sequences, 9,000 rows"), "and Ray prints nothing beside it"
    assert len(said.splitlines()) == 1

    again = batch.folder / "again.csv"
    with running(batch, given, again, cluster.address) as process:
        until_some_are_done(batch.folder / ".again.csv.parts", process)
    assert process.returncode == -signal.SIGKILL
    assert batch("forecast", given, again, *WORDS) == 0, batch.said
    assert "done before" in batch.said
    assert again.read_bytes() == whole.read_bytes()


def answered(batch: Batch, program: str, *words: object) -> subprocess.CompletedProcess[str]:
    """``rnnserve batch forecast`` after the statements of ``program``, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"{program}; from app.cli import main; main()", "batch", "forecast"]
        + [str(word) for word in (*words, "--models", batch.models)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def test_a_cluster_without_a_core_is_not_waited_for_without_end(batch: Batch, cluster: RayCluster) -> None:
    """When its last node has gone, and before its first has come."""
    given = batch.write("few.csv", daily(["a"]))
    cluster.tell("kill")
    impatient = "import app.batch.cluster; app.batch.cluster.PATIENCE_S = 1.0"
    done = answered(batch, impatient, given, "--out", batch.folder / "out.csv", "--ray", cluster.address)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no node of the cluster has had a core for 1 s" in line
    assert "the same command goes on from what is done" in line


def test_mistakes_are_one_line(batch: Batch) -> None:
    """No cluster at the address; processes of this machine beside a cluster's; Ray is not installed."""
    given = batch.write("few.csv", daily(["a"]))
    out = batch.folder / "out.csv"
    assert batch("forecast", given, out, "--ray", "auto", "--workers", 2) == 2
    assert "--workers are processes of this machine" in batch.said
    with running(batch, given, out, "127.0.0.1:1") as told:
        said = told.communicate(timeout=WAIT_S)[1]
    assert told.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith("rnnserve: --ray 127.0.0.1:1: ")
    assert "ray start --head" in line
    missing = "import sys; sys.modules['ray'] = None"
    done = answered(batch, missing, given, "--out", out, "--ray", "auto")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "pip install '.[ray]'" in done.stderr
