"""Which node of a Redis cluster serves a slot: the one that is asked, until it names another.

Redis Cluster specification, "MOVED redirection".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import MovedError


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the shards of one cluster share: nodes to ask first, and those of which the log has told."""

    nodes: Sequence[str]
    told: set[str] = field(default_factory=set)


class RedisNodes:
    """A client of the node that is asked, and where else to ask.

    Args:
        connect: makes a client of a ``host:port``.
        known: nodes, of which any may be the one. A single Redis is a cluster of one.
    """

    def __init__(self, connect: Callable[[str], redis.Redis], known: Sequence[str]) -> None:
        self._connect = connect
        self._named = list(known)
        self._known = list(known)
        self._place = self._known[0]
        self.client = connect(self._place)

    def follow(self, moved: MovedError) -> None:
        """Ask the node that this one has named; it leaves out its own host where that is the same."""
        host = moved.host or self._place.rpartition(":")[0].strip("[]")
        self._go(_place(host, moved.port))

    def turn(self) -> None:
        """The node does not answer: ask the next one, which knows whether another has taken its place."""
        self._go(self._known[(self._known.index(self._place) + 1) % len(self._known)])

    def learn(self, slots: Any) -> None:
        """Know the nodes of an answer to CLUSTER SLOTS, and those that were named at first, but no other."""
        if isinstance(slots, list):
            nodes = [_place(node[0].decode(), node[1]) for each in slots for node in each[2:] if node[0]]
            self._known = list(dict.fromkeys([*self._named, *nodes, self._place]))

    def _go(self, place: str) -> None:
        if place == self._place:
            return
        if place not in self._known:
            self._known.append(place)
        self.client.close()
        self._place, self.client = place, self._connect(place)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
