"""Sessions on a real cluster: spread over its nodes, and found again where their slots have gone."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from redis.crc import key_slot

from app.core.errors import ConfigurationError, StoreUnavailable
from app.sessions.stores import open_store
from app.sessions.stores.redis_nodes import RedisNodes
from app.sessions.stores.sharded import ShardedStore
from app.sessions.stores.store import SessionStore, Stored, Write, Written
from tests.redis_cluster import PRIMARIES, RedisCluster, role
from tests.redis_server import RedisServer
from tests.sessions.conftest import OpenStore
from tests.sessions.test_store_model import run_machine

SESSIONS = 60


@dataclass(frozen=True)
class Mortal:
    """A cluster, sessions on it, its first primary, and what stands by for that."""

    cluster: RedisCluster
    store: SessionStore
    primary: RedisServer
    replica: RedisServer


@pytest.fixture
def connect(cluster: RedisCluster) -> Iterator[OpenStore]:
    """Stores of four shards, each with keys of its own."""
    opened: list[SessionStore] = []

    def new(max_sessions: int = 5000) -> SessionStore:
        address = f"{cluster.url}/?prefix={uuid.uuid4().hex}:&shards=4"
        opened.append(open_store(address, max_sessions=max_sessions))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


def steps(number: int, revision: int) -> list[Write]:
    """One of each session, which raises its revision by one."""
    stored = Stored(revision, 1e12, f"step {revision}".encode())
    return [Write(f"s{index}", revision - 1, stored) for index in range(number)]


def test_shards_together_do_what_the_rules_say(connect: OpenStore) -> None:
    """Any sequence of operations over four shards gives what a dict gives."""
    run_machine(connect, max_sessions=1000)


def test_every_node_has_its_share(cluster: RedisCluster, connect: OpenStore) -> None:
    """The nodes that the address does not name as well; listings are in order, over all of them."""
    before = [cluster.keys(node) for node in cluster.nodes]
    store = connect()
    assert store.write(steps(SESSIONS, 1)) == [Written(ok=True)] * SESSIONS
    after = [cluster.keys(node) for node in cluster.nodes]
    assert all(now > then + SESSIONS / 10 for now, then in zip(after, before, strict=True))
    assert store.count() == SESSIONS
    ids = sorted(f"s{index}" for index in range(SESSIONS))
    pages, last = [], ""
    while page := store.list_ids(last, 7):
        pages += [id for id, _ in page]
        last = pages[-1]
    assert pages == ids


def test_an_owners_sessions_are_counted_exactly(connect: OpenStore) -> None:
    """Though each shard knows its own alone."""
    store = connect()
    for number in range(8):
        write = Write(f"owner/{number}", 0, Stored(1, 1e12, b""), max_owned=5)
        assert store.write([write])[0].crowded == (number >= 5)


def revisions(store: SessionStore) -> set[int | None]:
    """What the sessions have come to."""
    found = store.get([f"s{index}" for index in range(SESSIONS)])
    return {stored.revision if stored else None for stored in found}


def test_slots_that_move_are_followed(tmp_path: Path) -> None:
    """Under a client that writes on: every step is applied once, and none waits for ever."""
    with RedisCluster(tmp_path) as cluster:
        store = open_store(f"{cluster.url}/?shards=6", max_sessions=1000)
        try:
            feed_while_slots_move(cluster, store)
        finally:
            store.close()


def feed_while_slots_move(cluster: RedisCluster, store: SessionStore) -> None:
    """All of the first node's go to the second."""
    store.write(steps(SESSIONS, 1))
    reached, stop = [1], threading.Event()

    def feed() -> None:
        while not stop.is_set():
            assert store.write(steps(SESSIONS, reached[0] + 1)) == [Written(ok=True)] * SESSIONS
            reached[0] += 1

    thread = threading.Thread(target=feed)
    thread.start()
    source, target, _ = cluster.nodes
    moved = cluster.slots_with_keys(source)
    try:
        for slot in moved:
            cluster.move(slot, source, target)
        until, seen = time.monotonic() + 30, reached[0]
        while reached[0] < seen + 5 and thread.is_alive():
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        stop.set()
        thread.join()
    assert moved
    assert cluster.slots_with_keys(source) == []
    assert reached[0] >= seen + 5
    assert revisions(store) == {reached[0]}


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    """Sessions at their first step, on a cluster whose first node may be killed."""
    with RedisCluster(tmp_path, replicas=1) as cluster:
        store = open_store(f"{cluster.url}/?shards=6", max_sessions=1000, timeout_s=1.0)
        try:
            store.check()
            store.write(steps(SESSIONS, 1))
            primary, replica = cluster.nodes[0], cluster.nodes[PRIMARIES]
            assert cluster.slots_with_keys(primary) != []
            cluster.wait(lambda: cluster.slots_with_keys(replica) == cluster.slots_with_keys(primary))
            yield Mortal(cluster, store, primary, replica)
        finally:
            store.close()


def test_a_replica_takes_the_place_of_a_dead_primary(mortal: Mortal) -> None:
    """What is asked meanwhile is told to come again; then all goes on with every session."""
    mortal.primary.kill()
    with pytest.raises(StoreUnavailable) as refused:
        mortal.store.write(steps(SESSIONS, 2))
    assert refused.value.retry_after_s is not None
    outcomes = write_until_sure(mortal.store, steps(SESSIONS, 2))
    assert role(mortal.replica) == "master"
    assert all(outcome.ok for outcome in outcomes)
    assert revisions(mortal.store) == {2}


def test_a_replica_that_lagged_is_found_out(mortal: Mortal) -> None:
    """It takes the place of a primary that had acknowledged more: who does not say a step is told once."""
    mortal.replica.pause()
    # So much that the sockets between them are full: what follows never leaves the primary.
    with mortal.primary.client() as client:
        held = client.keys("*")[0]
        client.set(b"{" + held.partition(b"{")[2].partition(b"}")[0] + b"}", bytes(32 << 20))
    assert mortal.store.write(steps(SESSIONS, 2)) == [Written(ok=True)] * SESSIONS
    mortal.primary.kill()
    mortal.replica.resume()
    mortal.cluster.wait(lambda: role(mortal.replica) == "master")
    # A step that builds on what is left, of a caller who does not know that something is missing.
    blind = [replace(write, numbered=False, expected=1) for write in steps(SESSIONS, 3)]
    outcomes = write_until_sure(mortal.store, blind)
    assert 0 < sum(outcome.behind for outcome in outcomes) < SESSIONS
    for outcome in outcomes:
        assert not outcome.ok
        assert outcome.current is not None
        assert outcome.current.revision == (1 if outcome.behind else 2)


def test_no_shard_is_still_asked_when_another_has_failed() -> None:
    """Stores are called once at a time, so the call that failed waits for all of them."""
    slow, broken = Mock(), Mock()
    ended = threading.Event()

    def count() -> int:
        time.sleep(0.2)
        ended.set()
        return 1

    slow.count.side_effect = count
    broken.count.side_effect = StoreUnavailable("gone")
    store = ShardedStore([broken, slow])
    with pytest.raises(StoreUnavailable, match="gone"):
        store.count()
    assert ended.is_set()
    store.close()


def test_nodes_that_have_gone_are_forgotten() -> None:
    """Those of the address stay, and the one that is asked."""
    connect = Mock()
    nodes = RedisNodes(connect, ["seed:1"])
    nodes.learn([[0, 9, [b"old", 2]]])
    nodes.learn([[0, 4, [b"new", 3]], [5, 9, [b"::1", 4, b"id"]]])
    for _ in range(4):
        nodes.turn()
    assert [call.args[0] for call in connect.call_args_list] == [
        "seed:1",
        "new:3",
        "[::1]:4",
        "seed:1",
        "new:3",
    ]


def write_until_sure(store: SessionStore, writes: list[Write]) -> list[Written]:
    """Again while the cluster is not there, or its nodes ask what clients remember."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        try:
            outcomes = store.write(writes)
        except StoreUnavailable:
            outcomes = []
        if outcomes and not any(outcome.unsure for outcome in outcomes):
            return outcomes
        time.sleep(0.1)
    raise AssertionError("the cluster did not come so far")


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        ("/?shards=0", "shards=0 of the session store: give 1 to 256"),
        ("/?shards=many", "shards=many"),
        ("/2", "no databases but 0"),
        (",", ":6379 of the session store is no HOST:PORT: host or port is missing"),
        (",other:port", "other:port of the session store is no HOST:PORT"),
        ("/?nonsense=1", "address of the session store cannot be used"),
    ],
)
def test_an_address_that_is_wrong_is_refused(cluster: RedisCluster, tail: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_store(cluster.url + tail, max_sessions=10)


def test_a_cluster_that_is_named_as_one_server_is_told_apart(cluster: RedisCluster) -> None:
    """With how to name it."""
    prefixes = (uuid.uuid4().hex for _ in itertools.count())
    elsewhere = next(prefix for prefix in prefixes if key_slot(f"{prefix}mark".encode()) > 16384 / PRIMARIES)
    store = open_store(f"{cluster.nodes[0].url}?prefix={elsewhere}", max_sessions=10)
    with pytest.raises(
        StoreUnavailable, match=r"refuses: .*; name its cluster as redis\+cluster://HOST:PORT"
    ):
        store.check()
    store.close()
