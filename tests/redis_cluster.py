"""A real cluster of Valkey: three primaries with a third of the slots each, and replicas where asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.redis_server import PASSWORD, RedisServer, free_port

PRIMARIES = 3
_SLOTS = 16384
_DEADLINE_S = 180.0


class RedisCluster:
    """Processes on this machine; use as a context.

    Args:
        folder: where the nodes keep their files.
        replicas: of the first primary.
        append_only: whether the nodes keep a file of what was written.
    """

    def __init__(self, folder: Path, replicas: int = 0, *, append_only: bool = True) -> None:
        self.nodes: list[RedisServer] = []
        self._buses: list[int] = []
        for number in range(PRIMARIES + replicas):
            place = folder / f"node-{number}"
            place.mkdir()
            # By default it is 10,000 above the port, which may be more than there are.
            self._buses.append(free_port())
            more = {
                "cluster-enabled": "yes",
                "cluster-port": str(self._buses[-1]),
                "cluster-node-timeout": "1000",
                "masterauth": PASSWORD,
            }
            self.nodes.append(RedisServer(place, append_only=append_only, more=more))

    @property
    def url(self) -> str:
        """Two of its nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[1:PRIMARIES])
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    def __enter__(self) -> RedisCluster:
        try:
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.kill()

    def ask(self, node: RedisServer, *command: str | int) -> str:
        """A command to one node, and its answer as text."""
        with node.client() as client:
            return str(client.execute_command(*command), "utf-8")

    def move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Hand a slot over with all of its keys, as the Redis Cluster tutorial does, while clients use it."""
        ids = {id(node): self.ask(node, "CLUSTER", "MYID") for node in (source, target)}
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[id(source)])
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[id(target)])
        with source.client() as client:
            while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                client.execute_command(
                    *("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
                )
        for node in (target, source):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[id(target)])

    def slots_with_keys(self, node: RedisServer) -> list[int]:
        """Slots that hold something there."""
        with node.client() as client:
            keys = client.keys("*")
            return sorted({client.cluster("KEYSLOT", key) for key in keys})

    def keys(self, node: RedisServer) -> int:
        """How many there are."""
        with node.client() as client:
            return int(client.dbsize())

    def _join(self) -> None:
        first, *others = self.nodes
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            share = (_SLOTS * number // PRIMARIES, _SLOTS * (number + 1) // PRIMARIES - 1)
            self.ask(node, "CLUSTER", "ADDSLOTSRANGE", *share)
        for node, bus in zip(others, self._buses[1:], strict=True):
            self.ask(first, "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        self._until("cluster_state:ok", f"cluster_known_nodes:{len(self.nodes)}")
        primary = self.ask(first, "CLUSTER", "MYID")
        for node in self.nodes[PRIMARIES:]:
            self.ask(node, "CLUSTER", "REPLICATE", primary)
        self.wait(lambda: all(_replicates(node) for node in self.nodes[PRIMARIES:]))

    def _until(self, *marks: str) -> None:
        self.wait(
            lambda: all(mark in self.ask(node, "CLUSTER", "INFO") for node in self.nodes for mark in marks)
        )

    @staticmethod
    def wait(holds: Callable[[], bool]) -> None:
        """Until it holds."""
        until = time.monotonic() + _DEADLINE_S
        while not holds():
            assert time.monotonic() < until, "the cluster did not come so far"
            time.sleep(0.05)


def role(node: RedisServer) -> str:
    """``master``, or ``slave`` for a replica."""
    return str(_info(node)["role"])


def _replicates(node: RedisServer) -> bool:
    return bool(_info(node).get("master_link_status") == "up")


def _info(node: RedisServer) -> dict[str, Any]:
    with node.client() as client:
        return dict(client.info("replication"))
