"""What waits for a store, and the groups in which it goes there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TOGETHER = ("write", "get")
"""Methods whose one argument is a list: those of many callers become one call."""


@dataclass(slots=True, eq=False)
class Waiting:
    """What one caller asks of the store: ``count`` is its share of what may wait, ``ids`` what it changes."""

    future: asyncio.Future[Any]
    method: str
    arguments: Sequence[Any]
    count: int = 1
    ids: frozenset[str] = frozenset()


class Backlog:
    """Waiting calls in the order of their arrival. ``max_group`` bounds the sessions in one group; a larger
    single call is a group by itself.
    """

    def __init__(self, max_group: int) -> None:
        self._max_group = max_group
        self._queues: dict[str, deque[Waiting]] = {method: deque() for method in (*TOGETHER, "other")}

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def add(self, item: Waiting) -> None:
        self._queues.get(item.method, self._queues["other"]).append(item)

    def take(self) -> list[list[Waiting]]:
        """A group of writes, one of reads, and one other call, of what there is.

        No session is written twice in a group, and the writes of a session keep their order.
        """
        return [
            self._group(waiting) if method in TOGETHER else [waiting.popleft()]
            for method, waiting in self._queues.items()
            if waiting
        ]

    def take_all(self) -> list[Waiting]:
        everything = [item for waiting in self._queues.values() for item in waiting]
        for waiting in self._queues.values():
            waiting.clear()
        return everything

    def _group(self, waiting: deque[Waiting]) -> list[Waiting]:
        group: list[Waiting] = []
        later: list[Waiting] = []
        seen: set[str] = set()
        size = 0
        while waiting and size < self._max_group:
            item = waiting.popleft()
            fits = not group or size + item.count <= self._max_group
            if fits and seen.isdisjoint(item.ids):
                group.append(item)
                size += item.count
            else:
                later.append(item)
            # What waits longer blocks its sessions too, else a later change could overtake it.
            seen |= item.ids
        waiting.extendleft(reversed(later))
        return group
