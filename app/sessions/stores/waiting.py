"""What waits for the store, and which of it goes in together: no thread, no clock, no store.

Reads of many callers become one group, writes of many callers become one group, other calls go
one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.sessions.stored import Stored, Write, Written

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting(Generic[T]):
    """One caller's hand-in. ``count`` is its share of what may wait."""

    future: asyncio.Future[T]
    count: int


@dataclass(slots=True, eq=False)
class WaitingGet(Waiting[list[Stored | None]]):
    """Sessions to read."""

    ids: Sequence[str]


@dataclass(slots=True, eq=False)
class WaitingWrite(Waiting[list[Written]]):
    """Changes that stay in one group, no two of one session."""

    writes: Sequence[Write]
    ids: frozenset[str]


@dataclass(slots=True, eq=False)
class WaitingCall(Waiting[Any]):
    """Any other call of the store."""

    operation: str
    call: Callable[[], Any]


class WaitingRoom:
    """Hand-ins in the order in which they came.

    Args:
        max_group: sessions in one group; a larger single hand-in is a group by itself.
    """

    def __init__(self, max_group: int) -> None:
        self._max_group = max_group
        self._gets: deque[WaitingGet] = deque()
        self._writes: deque[WaitingWrite] = deque()
        self._calls: deque[WaitingCall] = deque()

    def __bool__(self) -> bool:
        return bool(self._gets or self._writes or self._calls)

    def add(self, item: Waiting[Any]) -> None:
        """Put a hand-in behind the others of its kind."""
        if isinstance(item, WaitingWrite):
            self._writes.append(item)
        elif isinstance(item, WaitingGet):
            self._gets.append(item)
        elif isinstance(item, WaitingCall):
            self._calls.append(item)

    def take_writes(self) -> list[WaitingWrite]:
        """A group in which no session appears twice; the changes of a session keep their order."""
        group: list[WaitingWrite] = []
        later: list[WaitingWrite] = []
        seen: set[str] = set()
        size = 0
        while self._writes and size < self._max_group:
            item = self._writes.popleft()
            fits = not group or size + item.count <= self._max_group
            if fits and seen.isdisjoint(item.ids):
                group.append(item)
                size += item.count
            else:
                later.append(item)
            # What waits longer blocks its sessions too, else a later change could overtake it.
            seen |= item.ids
        self._writes.extendleft(reversed(later))
        return group

    def take_gets(self) -> list[WaitingGet]:
        """A group of reads."""
        group: list[WaitingGet] = []
        size = 0
        while self._gets and (not group or size + self._gets[0].count <= self._max_group):
            group.append(self._gets.popleft())
            size += group[-1].count
        return group

    def take_call(self) -> WaitingCall | None:
        """The next other call."""
        return self._calls.popleft() if self._calls else None

    def take_all(self) -> list[Waiting[Any]]:
        """Everything, to be told that it will not be done."""
        everything: list[Waiting[Any]] = [*self._writes, *self._gets, *self._calls]
        self._writes.clear()
        self._gets.clear()
        self._calls.clear()
        return everything
