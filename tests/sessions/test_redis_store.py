"""The Redis store while its server dies, hangs, forgets its scripts, or refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import StoreUnavailable
from app.sessions.stores.redis import RedisStore
from app.sessions.stores.store import Snapshot, Stored, Write, Written
from tests.redis_server import KINDS, PASSWORD, RedisServer


def put(id: str, revision: int) -> Write:
    """A write of the revision after the last one."""
    return Write(id, revision - 1, Stored(revision, 100.0, b"record"))


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test's own, of each kind."""
    with RedisServer(tmp_path, request.param) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Callable[..., RedisStore]]:
    """Opens stores that are closed with the test."""
    stores: list[RedisStore] = []

    def open_at(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, 10, **options))
        return stores[-1]

    yield open_at
    for store in stores:
        store.close()


Connect = Callable[..., RedisStore]


def test_a_killed_server_is_told_at_once_and_used_again_when_it_is_back(
    server: RedisServer, connect: Connect
) -> None:
    """While it is away every call fails as unavailable; then all that was acknowledged is there."""
    store = connect(server.url, timeout_s=1.0)
    assert store.write([put("a", 1)]) == [Written(ok=True)]
    server.kill()
    for ask in (store.check, store.count, lambda: store.get(["a"]), lambda: store.write([put("a", 2)])):
        with pytest.raises(StoreUnavailable, match="cannot be reached") as told:
            ask()
        assert PASSWORD not in str(told.value)
    server.start()
    assert (store.count(), store.get(["a"])) == (1, [put("a", 1).stored])
    assert store.write([put("a", 2)]) == [Written(ok=True)]


def test_a_short_absence_is_not_noticed(server: RedisServer, connect: Connect) -> None:
    """A connection that broke is made anew inside the call, and the scripts are loaded again."""
    store = connect(server.url)
    store.write([put("a", 1)])
    server.kill()
    server.start()
    assert store.write([put("a", 2)]) == [Written(ok=True)]


def test_forgotten_scripts_are_loaded_again(server: RedisServer, connect: Connect) -> None:
    """A server that lost its scripts under a living connection is given them, for every script."""
    store = connect(server.url)
    asks: list[Callable[[], object]] = [
        lambda: store.write([put("a", 1)]),
        lambda: store.due(0.0, 1),
        lambda: store.list_ids("", 1),
        lambda: store.snapshots("a"),
        lambda: store.remove([("a", 1)]),
    ]
    for ask in asks:
        with server.client() as client:
            client.script_flush()
        ask()
    assert store.count() == 0


def test_a_write_whose_answer_was_lost_counts_once_when_sent_again(
    server: RedisServer, connect: Connect
) -> None:
    """The server hangs with the write in its hands, and later does it beside its repetition."""
    store = connect(server.url, timeout_s=1.0)
    first = Write("a", 1, Stored(2, 100.0, b"2"), snapshot=Snapshot("s", 1, True, 1.0), keep_automatic=1)
    store.write([put("a", 1)])
    server.pause()
    with pytest.raises(StoreUnavailable):
        store.write([first])
    server.resume()
    assert store.write([first, put("b", 1)]) == [Written(ok=True)] * 2
    assert (store.get(["a"]), len(store.snapshots("a")), store.count()) == ([first.stored], 1, 2)


def test_a_server_that_is_away_from_the_start_is_used_when_it_comes(
    server: RedisServer, connect: Connect
) -> None:
    """Opening does not connect: a serving process can come up first."""
    server.kill()
    store = connect(server.url, timeout_s=1.0)
    with pytest.raises(StoreUnavailable):
        store.check()
    server.start()
    store.check()


def test_a_wrong_password_is_said(server: RedisServer, connect: Connect) -> None:
    """It is no matter of waiting, so it is not tried again."""
    with pytest.raises(StoreUnavailable, match="password"):
        connect(server.url.replace(PASSWORD, "wrong"), timeout_s=60.0).check()


def test_stores_with_other_prefixes_and_databases_do_not_meet(server: RedisServer, connect: Connect) -> None:
    """One server can hold several deployments."""
    stores = [connect(server.url), connect(f"{server.url}?prefix=x:"), connect(server.url[:-1] + "1")]
    for store in stores:
        assert store.write([put("a", 1)]) == [Written(ok=True)]
        assert store.count() == 1
    with server.client() as client:
        keys: list[bytes] = client.execute_command("KEYS", "*")
        assert {key.partition(b":")[0] for key in keys} == {b"rnnserve", b"x"}


def test_a_store_whose_server_keeps_no_file_is_not_safe_against_power_loss(
    tmp_path: Path, connect: Connect
) -> None:
    """The promise is refused with the server's own reason, not given and broken."""
    with RedisServer(tmp_path, append_only=False) as server:
        store = connect(server.url, power_safe=True)
        with pytest.raises(StoreUnavailable, match="appendonly"):
            store.write([put("a", 1)])


def test_a_server_out_of_memory_refuses_and_keeps_what_it_has(server: RedisServer, connect: Connect) -> None:
    """Nothing is evicted to make room; reads go on."""
    store = connect(server.url)
    store.write([put("a", 1)])
    with server.client() as client:
        client.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="refuses"):
        store.write([put("b", 1)])
    assert store.get(["a", "b"]) == [put("a", 1).stored, None]
