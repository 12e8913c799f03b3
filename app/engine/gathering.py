"""Single sequences that are handed in during one pass of the event loop, on their way to be one block.

    request, request, ... --same length, same reading--> Gathered --end of the pass--> one block

A block costs the engine as much for one row as for twelve, and requests tend to arrive together:
the answers of one tick leave together, and bring the next requests.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from app.core.sequence import BlockRequest, BlockResult, Read

# With so many rows a run is as good as full, and shorter than a tick. Wider blocks would be answered later.
MAX_ROWS = 12
# Members share a deadline, the earliest; those of one pass differ by less than this.
_DEADLINES_S = 0.1


@dataclass(slots=True, eq=False)
class Gathered:
    """Sequences of one length, and who waits for each.

    Attributes:
        deadline: the earliest of all.
        members: each sequence's request and future.
    """

    deadline: float
    members: list[tuple[BlockRequest, asyncio.Future[BlockResult]]] = field(default_factory=list)

    def joined(self) -> tuple[BlockRequest, list[asyncio.Future[BlockResult]]]:
        """One block of those that nobody has given up, and their futures in the order of its rows."""
        left = [(request, future) for request, future in self.members if not future.done()]
        futures = [future for _, future in left]
        if len(left) == 1:
            return left[0][0], futures
        steps = [request.steps for request, _ in left]
        return BlockRequest(
            np.concatenate(steps) if steps else self.members[0][0].steps[:0], self.read
        ), futures

    @property
    def read(self) -> Read:
        """What is read of each."""
        return self.members[0][0].read

    @property
    def length(self) -> int:
        """Steps of each."""
        return int(self.members[0][0].steps.shape[1])


class Gathering:
    """What has been handed in since :meth:`take` was called last. Used on one event loop only."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, Read], Gathered] = {}
        self._full: list[Gathered] = []

    def __bool__(self) -> bool:
        return bool(self._groups) or bool(self._full)

    @staticmethod
    def takes(request: BlockRequest) -> bool:
        """Whether a block may be joined with others: one sequence, from the bundle's start row."""
        return len(request.steps) == 1 and request.starts is None

    def add(self, request: BlockRequest, future: asyncio.Future[BlockResult], deadline: float) -> bool:
        """Add a sequence; whether a group is full, so that there is nothing to wait for."""
        key = (request.steps.shape[1], request.read)
        group = self._groups.get(key)
        if group is not None and abs(group.deadline - deadline) > _DEADLINES_S:
            self._full.append(self._groups.pop(key))
            group = None
        if group is None:
            group = self._groups[key] = Gathered(deadline)
        group.deadline = min(group.deadline, deadline)
        group.members.append((request, future))
        if len(group.members) == MAX_ROWS:
            self._full.append(self._groups.pop(key))
        return bool(self._full)

    def take(self) -> list[Gathered]:
        """The groups, in the order of their beginnings at most."""
        groups = [*self._full, *self._groups.values()]
        self._full.clear()
        self._groups.clear()
        return groups
