"""Whose time it is: sessions expire by their store's clock, and a server whose own is wrong says so."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from app.core.errors import StoreUnavailable
from app.sessions.housekeeping import keep_house
from app.sessions.stores.clock import StoreClock
from app.sessions.stores.memory import MemoryStore
from app.sessions.stores.worker import StoreWorker
from tests.e2e.server import ServerProcess
from tests.redis_server import RedisServer
from tests.sessions.bench import Bench


class Elsewhere(MemoryStore):
    """A store whose clock is set by hand, in seconds ahead of this machine's."""

    def __init__(self) -> None:
        super().__init__(100)
        self.ahead_s = 0.0
        self.slow_s = 0.0

    def check(self) -> float:
        """Its time."""
        time.sleep(self.slow_s)
        return time.time() + self.ahead_s


@pytest.fixture
async def worker() -> AsyncIterator[tuple[Elsewhere, StoreWorker]]:
    store = Elsewhere()
    worker = StoreWorker(store, check_every_s=0.01, max_skew_s=5)
    yield store, worker
    await worker.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_before_the_store_has_answered_nobody_knows_the_time() -> None:
    clock = StoreClock()
    with pytest.raises(StoreUnavailable):
        clock()
    clock.hear(1000.0, time.monotonic())
    assert clock() == pytest.approx(1000.0, abs=0.5)
    assert clock.skew_s == pytest.approx(time.time() - 1000.0, abs=0.5)


async def test_the_stores_time_counts(
    worker: tuple[Elsewhere, StoreWorker], caplog: pytest.LogCaptureFixture
) -> None:
    """Within the allowed skew and beyond it; beyond it the server says that it is not to be asked."""
    store, asked = worker
    store.ahead_s = 4.0
    asked.start(asyncio.get_running_loop())
    await until(lambda: asked.healthy)
    assert asked.clock() == pytest.approx(time.time() + 4, abs=0.5)
    assert asked.trouble is None
    for ahead_s, side in ((7200.0, "behind"), (-7200.0, "ahead of")):
        store.ahead_s = ahead_s
        await until(lambda: asked.trouble)
        await until(lambda: abs(asked.clock() - time.time() - store.ahead_s) < 0.5)
        assert asked.trouble == f"this machine's clock is 7200 s {side} the session store's"
        assert asked.healthy
    assert caplog.text.count("none is ended from here") == 1
    store.ahead_s = 0.0
    await until(lambda: not asked.trouble)


async def test_nothing_is_ended_while_the_clocks_disagree(
    worker: tuple[Elsewhere, StoreWorker], bench: Bench
) -> None:
    """One of them is wrong, and what is ended is ended for good."""
    store, asked = worker
    sweeps = []

    async def sweep() -> int:
        sweeps.append(asked.is_off)
        return 1

    bench.service.sweep = sweep  # type: ignore[method-assign]  # to see when it is called
    store.ahead_s = 7200.0
    asked.start(asyncio.get_running_loop())
    await until(lambda: asked.is_off)
    house = asyncio.create_task(keep_house(bench.service, asked, lambda count: None))
    await asyncio.sleep(0.1)
    assert sweeps == []
    store.ahead_s = 0.0
    await until(lambda: sweeps)
    house.cancel()


async def test_housekeeping_begins_with_a_store_that_has_yet_to_answer(
    worker: tuple[Elsewhere, StoreWorker], bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no failure of a sweep: the count is told, and what has expired is ended, at once."""
    store, asked = worker
    told: list[int] = []

    async def sweep() -> int:
        assert asked.clock() > 0
        told.append(-1)
        return 0

    bench.service.sweep = sweep  # type: ignore[method-assign]  # to see when it is called
    store.slow_s = 0.2
    asked.start(asyncio.get_running_loop())
    house = asyncio.create_task(keep_house(bench.service, asked, told.append))
    await until(lambda: len(told) > 1)
    assert told[:2] == [0, -1]
    assert "could not be swept" not in caplog.text
    house.cancel()


def test_a_server_with_a_wrong_clock_ends_no_session(tiny_models: Path, tmp_path: Path) -> None:
    """Neither one ahead nor one behind: sessions live on and open on all, and only the right one is ready."""
    task = {"task": "forecast"}
    with RedisServer(tmp_path) as redis:
        flags = {"sessions": redis.url}
        with (
            ServerProcess(tiny_models, **flags) as right,
            ServerProcess(tiny_models, clock_ahead_s=7200, **flags) as ahead,
            ServerProcess(tiny_models, clock_ahead_s=-7200, **flags) as behind,
            right.client() as first,
            ahead.client() as second,
            behind.client() as third,
        ):
            clients = (first, second, third)
            for number, client in enumerate(clients):
                answer = client.post("/sessions", json={"id": f"s{number}", "ttl_seconds": 60, **task})
                assert answer.status_code == 201, answer.text
                lives_s = httpx2.get(f"{right.url}/sessions/s{number}").json()
                assert lives_s["created_at"][:13] == time.strftime("%Y-%m-%dT%H", time.gmtime())
            time.sleep(2.5)  # two sweeps
            for number in range(3):
                for seq, client in enumerate(clients, start=1):
                    steps = client.post(f"/sessions/s{number}/steps", json={"seq": seq, "inputs": 1})
                    assert steps.status_code == 200, steps.text
            assert first.get("/readyz").status_code == 200
            for client, side, server in ((second, "ahead of", ahead), (third, "behind", behind)):
                ready = client.get("/readyz")
                assert ready.status_code == 503
                # A store that takes a while to tell its time is known that much less exactly.
                off = rf"this machine's clock is 7(19|20)\d s {side} the session store's"
                assert re.fullmatch(off, ready.json()["reason"])
                assert re.search(f"{off}; sessions expire by the store's", server.log)
                assert abs(server.metric("rnnserve_session_store_clock_skew_seconds")) > 7000
