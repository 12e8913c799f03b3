"""Several workers on one port: ready when all are, and each replaced when it dies or stands still."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.kills import free_port
from tests.e2e.server import ServerProcess

pytestmark = pytest.mark.long


class Starting:
    """A server of two workers on a port that is known before it listens."""

    def __init__(self, models: Path, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.server = ServerProcess(models, port=port, workers=2, state_dir=folder / "state")

    def ready(self) -> tuple[int, str | None]:
        """Status and reason of ``GET /readyz``; 0 while nobody answers."""
        try:
            answer = httpx2.get(f"{self.url}/readyz", timeout=60)
        except httpx2.TransportError:
            return 0, None
        return answer.status_code, answer.json()["reason"]

    def until(self, status: int, timeout_s: float = 60.0) -> str | None:
        """Wait for an answer; its reason."""
        end = time.monotonic() + timeout_s
        while True:
            found, reason = self.ready()
            if found == status:
                return reason
            assert time.monotonic() < end, (found, reason, self.server.log)
            time.sleep(0.02)


@pytest.fixture
def starting(tiny_models: Path, tmp_path: Path) -> Iterator[Starting]:
    """At its start."""
    starting = Starting(tiny_models, tmp_path)
    try:
        yield starting
        assert starting.server.stop() == 0, starting.server.log
    finally:
        starting.server.kill()


def test_ready_is_when_every_worker_is(starting: Starting) -> None:
    """Until then the reason says what is missing; the announcement comes with it."""
    assert starting.until(503) == "other workers are starting"
    starting.server.wait_until_ready()
    assert starting.ready() == (200, None)
    assert len(starting.server.workers()) == 2
    # Each draws its own.
    ids = {httpx2.get(f"{starting.url}/healthz").headers["x-request-id"] for _ in range(40)}
    assert len(ids) == 40


def test_a_worker_that_dies_while_it_starts_is_replaced(starting: Starting) -> None:
    """The one that was ready serves on."""
    starting.until(503)
    end = time.monotonic() + 60
    while len(starting.server.workers()) < 2:  # on a busy machine the first one answers before the second is
        assert time.monotonic() < end, starting.server.log
        time.sleep(0.02)
    first, second = starting.server.workers()
    os.kill(second, signal.SIGKILL)
    starting.until(200)
    assert first in starting.server.workers()
    assert second not in starting.server.workers()
    assert len(starting.server.workers()) == 2


def test_a_worker_that_stands_still_is_replaced(starting: Starting) -> None:
    """Its callers lose their connections instead of waiting for ever; later ones are answered."""
    starting.server.wait_until_ready()
    stopped = starting.server.workers()[1]
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    while stopped in starting.server.workers() or len(starting.server.workers()) < 2:
        assert starting.ready()[0] in (0, 200)
        assert time.monotonic() - began < 40, starting.server.log
        time.sleep(0.2)
    starting.server.wait_for_log(f"worker {stopped} has not moved for 15 s and is killed")
    assert [starting.ready() for _ in range(20)] == [(200, None)] * 20


def test_a_worker_that_stands_still_does_not_hold_up_the_end(tiny_models: Path, tmp_path: Path) -> None:
    """It is killed where the others drain."""
    starting = Starting(tiny_models, tmp_path)
    starting.server.wait_until_ready()
    stopped = starting.server.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert starting.server.stop() == 0, starting.server.log
    finally:
        starting.server.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGKILL)
