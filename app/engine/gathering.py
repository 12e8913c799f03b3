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

MAX_ROWS = 12
"""Little less than fills a run (``feeding``), so that a block of usual length is not cut by a tick."""

# Members share a deadline, the earliest; those of one pass differ by less than this.
_DEADLINES_S = 0.1


@dataclass(slots=True, eq=False)
class Gathered:
    """Sequences of one length, and who waits for each.

    Attributes:
        length: steps of each.
        read: what is read of each.
        deadline: the earliest of all.
        requests, futures: of each, in order.
    """

    length: int
    read: Read
    deadline: float
    requests: list[BlockRequest] = field(default_factory=list)
    futures: list[asyncio.Future[BlockResult]] = field(default_factory=list)

    def drop_given_up(self) -> int:
        """Leave out those that nobody waits for any more; returns how many."""
        kept = [place for place, future in enumerate(self.futures) if not future.done()]
        dropped = len(self.futures) - len(kept)
        if dropped:
            self.requests = [self.requests[place] for place in kept]
            self.futures = [self.futures[place] for place in kept]
        return dropped

    def joined(self) -> BlockRequest:
        """All as one block, in order; there is at least one."""
        if len(self.requests) == 1:
            return self.requests[0]
        return BlockRequest(np.concatenate([one.steps for one in self.requests]), self.read)


class Gathering:
    """The groups that are open. Used on one event loop only."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, Read], Gathered] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    @staticmethod
    def takes(request: BlockRequest) -> bool:
        """Whether a block may be joined with others: one sequence, from the bundle's start row."""
        return len(request.steps) == 1 and request.starts is None

    def add(
        self, request: BlockRequest, future: asyncio.Future[BlockResult], deadline: float
    ) -> Gathered | None:
        """Add a sequence; the group that is complete by that, since it is full or the deadlines lie apart."""
        key = (request.steps.shape[1], request.read)
        group = self._groups.get(key)
        complete: Gathered | None = None
        if group is not None and abs(group.deadline - deadline) > _DEADLINES_S:
            group, complete = None, self._groups.pop(key)
        if group is None:
            group = self._groups[key] = Gathered(*key, deadline)
        group.deadline = min(group.deadline, deadline)
        group.requests.append(request)
        group.futures.append(future)
        return self._groups.pop(key) if len(group.futures) == MAX_ROWS else complete

    def take(self) -> list[Gathered]:
        """All groups, oldest first."""
        groups = list(self._groups.values())
        self._groups.clear()
        return groups
