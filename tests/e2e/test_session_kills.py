"""Sessions over the death of servers, real ones: every session goes on to the bits of a serial run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.kills import SECRET, Crowd, compare, free_port, rounds
from tests.bundles import tiny_generator
from tests.e2e.server import ServerProcess
from tests.redis_server import RedisServer

pytestmark = pytest.mark.long
MODEL = "tiny-text"
# The tiny network knows 33 tokens; the crowd draws from more.
ROUNDS = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle with room for every token the crowd draws."""
    folder = tmp_path_factory.mktemp("kill-models")
    tiny_generator(folder, "gru", MODEL, letters="".join(map(chr, range(32, 95))) + "\n")
    return folder


def listening(models: Path, **flags: object) -> ServerProcess:
    """A server that listens, and signs states with a key that the test can open."""
    server = ServerProcess(models, state_key=SECRET, **flags)
    server.wait_until_ready()
    return server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which may be killed."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.mark.parametrize("workers", [1, 2])
async def test_killed_servers_over_lmdb(models: Path, tmp_path: Path, workers: int) -> None:
    """Two hundred busy sessions; no acknowledged step is missing, none is applied twice."""
    flags = {"port": free_port(), "workers": workers, "sessions": f"lmdb:{tmp_path / 'state'}"}
    crowd, states, restarts = await rounds(
        lambda: listening(models, **flags), ROUNDS, 200, MODEL, seed=workers
    )
    assert compare(models, crowd, states) > 200
    assert any(client.retried for client in crowd.clients), (crowd.statuses, restarts)


async def test_killed_servers_over_redis(models: Path, redis_server: RedisServer) -> None:
    """The same with the sessions in Redis."""
    flags = {"port": free_port(), "sessions": redis_server.url}
    crowd, states, restarts = await rounds(lambda: listening(models, **flags), ROUNDS, 200, MODEL, seed=7)
    assert compare(models, crowd, states) > 200
    assert any(client.retried for client in crowd.clients), (crowd.statuses, restarts)


def start_two(
    models: Path, redis: RedisServer
) -> tuple[Callable[[], ServerProcess], Callable[[], ServerProcess]]:
    """How to start two servers on one Redis."""
    flags = [{"port": free_port(), "sessions": redis.url} for _ in range(2)]
    return (lambda: listening(models, **flags[0]), lambda: listening(models, **flags[1]))


async def test_clients_hop_between_two_servers_and_one_is_killed(
    models: Path, redis_server: RedisServer
) -> None:
    """Any server serves any session: every step goes to one at random, with no sticky routing."""
    first, second = start_two(models, redis_server)
    with first() as stays, second() as dies:
        crowd = Crowd([stays.url, dies.url], 50, MODEL)
        await crowd.open()
        feeding = asyncio.create_task(crowd.feed())
        before = await acknowledged(crowd, 200)
        dies.kill()
        after = await acknowledged(crowd, before + 100)
        crowd.stopping = True
        crowd.urls = [stays.url]
        await feeding
        states = await crowd.states()
    assert compare(models, crowd, states) >= after


async def test_a_redis_that_goes_and_comes_back(models: Path, redis_server: RedisServer) -> None:
    """While it is down steps fail with 503 and readiness with the reason; afterwards nothing is lost."""
    first, second = start_two(models, redis_server)
    with first() as one, second() as other:
        crowd = Crowd([one.url, other.url], 50, MODEL)
        await crowd.open()
        feeding = asyncio.create_task(crowd.feed())
        await acknowledged(crowd, 100)
        redis_server.kill()
        async with httpx2.AsyncClient() as http:
            await wait_for(http, f"{one.url}/readyz", 503)
            refused = await http.get(f"{one.url}/sessions/busy-0")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["type"].endswith("store-unavailable")
            redis_server.start()
            await wait_for(http, f"{one.url}/readyz", 200)
        before = sum(client.acknowledged for client in crowd.clients)
        after = await acknowledged(crowd, before + 100)
        crowd.stopping = True
        await feeding
        states = await crowd.states()
    assert compare(models, crowd, states) >= after
    assert crowd.statuses.get(503)


async def acknowledged(crowd: Crowd, least: int) -> int:
    """How many steps of the crowd are, once they are so many."""
    until = time.monotonic() + 60
    while (count := sum(client.acknowledged for client in crowd.clients)) < least:
        assert time.monotonic() < until, f"{count} steps are acknowledged, not {least}"
        await asyncio.sleep(0.05)
    return count


async def wait_for(http: httpx2.AsyncClient, url: str, status: int) -> None:
    """Until the server answers so."""
    until = time.monotonic() + 30
    while (await http.get(url)).status_code != status:
        assert time.monotonic() < until, f"{url} never answered {status}"
        await asyncio.sleep(0.05)
