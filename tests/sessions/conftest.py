"""Stores to test with."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from app.sessions.stores import open_store
from app.sessions.stores.memory import MemoryStore
from app.sessions.stores.store import SessionStore
from tests.fakes import FakeClock
from tests.redis_cluster import RedisCluster
from tests.redis_server import KINDS, RedisServer
from tests.rig import inference, sessions
from tests.sessions.bench import LIMITS, Bench

OpenStore = Callable[..., SessionStore]

STORES = (
    *("memory", "lmdb-process", "lmdb-power", *(f"{kind}-process" for kind in KINDS), "valkey-power"),
    "cluster-process",
)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RedisServer]]:
    """Gives a running server of a kind, started when first asked for; tests share it."""
    running: dict[str, RedisServer] = {}

    def get(kind: str) -> RedisServer:
        if kind not in running:
            server = RedisServer(tmp_path_factory.mktemp(kind), kind)
            server.start()
            running[kind] = server
        return running[kind]

    yield get
    for server in running.values():
        server.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three primaries, which tests share."""
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(params=STORES)
def new_store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    servers: Callable[[str], RedisServer],
) -> Iterator[OpenStore]:
    """Opens empty stores of one kind; every test that asks for it runs with each kind."""
    kind, _, durability = str(request.param).partition("-")
    opened: list[SessionStore] = []

    def new(max_sessions: int = 5000) -> SessionStore:
        name = uuid.uuid4().hex
        if kind == "memory":
            url = "memory:"
        elif kind == "lmdb":
            url = f"lmdb:{tmp_path / name}"
        elif kind == "cluster":
            # Of one shard: the number of sessions is bounded in each by itself.
            url = f"{request.getfixturevalue('cluster').url}/?prefix={name}:&shards=1"
        else:
            url = f"{servers(kind).url}?prefix={name}:"
        store = open_store(
            url, max_sessions=max_sessions, durability="power" if durability == "power" else "process"
        )
        opened.append(store)
        return store

    yield new
    for store in opened:
        store.close()


@pytest.fixture
def store(new_store: OpenStore) -> SessionStore:
    """An empty store, of each kind in turn."""
    return new_store()


@pytest.fixture
async def bench(tiny_models: Path) -> AsyncIterator[Bench]:
    """A fresh store, and a clock that is set by hand."""
    clock, store = FakeClock(1_700_000_000.0), MemoryStore(20)
    async with inference(tiny_models) as rig, sessions(rig, store, LIMITS, clock) as service:
        yield Bench(rig, store, clock, service)
