"""What waits for the store, and which of it goes in together: no thread, no clock, no store."""

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
    """What one caller asks of the store.

    Attributes:
        method: of the store.
        arguments: of the call; the elements of its list where calls go together.
        count: its share of what may wait.
        ids: sessions that it changes.
    """

    future: asyncio.Future[Any]
    method: str
    arguments: Sequence[Any]
    count: int = 1
    ids: frozenset[str] = frozenset()


class Backlog:
    """Waiting calls in the order of their arrival.

    Args:
        max_group: sessions in one group; a larger single call is a group by itself.
    """

    def __init__(self, max_group: int) -> None:
        self._max_group = max_group
        self._together: dict[str, deque[Waiting]] = {method: deque() for method in TOGETHER}
        self._others: deque[Waiting] = deque()

    def __bool__(self) -> bool:
        return bool(self._others or any(self._together.values()))

    def add(self, item: Waiting) -> None:
        self._together.get(item.method, self._others).append(item)

    def take(self) -> list[list[Waiting]]:
        """A group of writes, one of reads, and one other call, of what there is.

        No session is written twice in a group, and the writes of a session keep their order.
        """
        groups = [self._group(waiting) for waiting in self._together.values() if waiting]
        if self._others:
            groups.append([self._others.popleft()])
        return groups

    def take_all(self) -> list[Waiting]:
        """Everything, to be told that it will not be done."""
        everything = [item for waiting in self._together.values() for item in waiting]
        everything += self._others
        for waiting in (*self._together.values(), self._others):
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
