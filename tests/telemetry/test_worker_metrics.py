"""Two worker processes behind one port: whoever answers a scrape answers for both."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess
from tests.telemetry.conftest import DEFAULT, promtool, use_everything

WORKERS = 2

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="processes are told apart by /proc"
)


@pytest.fixture
def server(tiny_models: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """Two workers with one store."""
    with ServerProcess(
        tiny_models, default=DEFAULT, workers=WORKERS, state_dir=tmp_path / "state"
    ) as process:
        yield process


def answering(server: ServerProcess, num: int) -> list[str]:
    """Several scrapes, each on a connection of its own, which any worker may have accepted."""
    texts = []
    for _ in range(num):
        with server.client() as client:
            texts.append(client.get("/metrics").text)
    return texts


def total(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if re.match(rf"{name}[ {{]", line) and all(f'{k}="{v}"' in line for k, v in labels.items())
    )


def wait_for(server: ServerProcess, name: str, value: float, **labels: str) -> None:
    """Block until scrapes on several connections all have a value: workers publish once a second."""
    until = time.monotonic() + 30
    while set(found := [total(text, name, **labels) for text in answering(server, 6)]) != {value}:
        assert time.monotonic() < until, f"{name} is {found}, not {value}"


def test_every_scrape_counts_the_requests_of_all_workers(server: ServerProcess) -> None:
    """Each request is counted once, whoever answered it; promtool accepts the answer."""
    for _ in range(12):
        with server.client() as client:
            assert client.post("/forecast", json={"values": [1, 2], "horizon": 1}).status_code == 200
    use_everything(server, "s-1")
    wait_for(server, "rnnserve_requests_total", 13, task="forecast", outcome="ok")
    wait_for(server, "rnnserve_e2e_request_latency_seconds_count", 13, task="forecast")
    wait_for(server, "rnnserve_session_events_total", 1, event="created")
    wait_for(server, "rnnserve_workers", WORKERS)
    wait_for(server, "rnnserve_session_store_up", 1)
    wait_for(server, "rnnserve_engine_up", 1, model="tiny-text-lstm@1")
    (text,) = answering(server, 1)
    assert promtool("check", "metrics", text=text) == ""
    assert total(text, "rnnserve_session_store_disk_bytes") > 0
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in set(server.workers()))
    resident = pages * os.sysconf("SC_PAGESIZE")
    assert total(text, "process_resident_memory_bytes") == pytest.approx(resident, rel=0.2)


def test_a_worker_that_is_killed_takes_nothing_back(server: ServerProcess) -> None:
    """Its counts stay, its gauges go, its successor is counted, and the folder does not grow."""
    for _ in range(8):
        with server.client() as client:
            assert client.get("/healthz").status_code == 200
    wait_for(server, "rnnserve_http_responses_total", 8, route="/healthz")
    before = set(server.workers())
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    until = time.monotonic() + 60
    while len(now := set(server.workers())) < WORKERS or victim in now:
        assert time.monotonic() < until
        time.sleep(0.1)
    wait_for(server, "rnnserve_workers", WORKERS)
    wait_for(server, "rnnserve_worker_restarts_total", 1)
    wait_for(server, "rnnserve_http_responses_total", 8, route="/healthz")
    folder = metrics_folder(server)
    places = {name.rsplit("_", 1)[1] for name in os.listdir(folder) if name.endswith(".db")}
    assert places == {"0.db", "1.db", "2.db"}
    assert folder.stat().st_mode & 0o077 == 0
    server.stop()
    assert not folder.exists()


def test_workers_whose_supervisor_was_killed_leave_no_folder_behind(server: ServerProcess) -> None:
    """They drain, and the last to go has nothing to keep."""
    folder, left = metrics_folder(server), set(server.workers())
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    until = time.monotonic() + 60
    while any(map(runs, left)):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert not folder.exists()


def runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has reaped has no command any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def metrics_folder(server: ServerProcess) -> Path:
    """Where a worker's shared numbers are, by the files it has mapped."""
    for pid in set(server.workers()):
        found = re.search(r"(/\S*/rnnserve-metrics-\w+)/", Path(f"/proc/{pid}/maps").read_text())
        if found:
            return Path(found[1])
    raise AssertionError("no worker shares its metrics")
