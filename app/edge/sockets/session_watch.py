"""When the sessions of a socket may end, so that their end can be announced. Pure: time is an argument.

A session is looked at when it is first stepped, and then when its last known time has come (second chance).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict


class SessionWatch:
    """Beyond ``max_sessions`` the one stepped longest ago is given up."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._planned: OrderedDict[str, float] = OrderedDict()
        self._queue: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._planned)

    def seen(self, id: str, now: float) -> None:
        if id in self._planned:
            self._planned.move_to_end(id)
            return
        self.plan(id, now)
        if len(self._planned) > self._max_sessions:
            self._planned.popitem(last=False)

    def plan(self, id: str, at: float) -> None:
        self._planned[id] = at
        heapq.heappush(self._queue, (at, id))
        if len(self._queue) > 4 * self._max_sessions:
            # Of sessions given up the old times lie here still, for as long as they might have lived.
            self._queue = [(at, id) for id, at in self._planned.items()]
            heapq.heapify(self._queue)

    def forget(self, id: str) -> None:
        self._planned.pop(id, None)

    def due(self, now: float, limit: int) -> list[str]:
        """Up to ``limit`` sessions to look at now; each must be planned again or forgotten."""
        found: list[str] = []
        while self._queue and self._queue[0][0] <= now and len(found) < limit:
            at, id = heapq.heappop(self._queue)
            if self._planned.get(id) == at:
                found.append(id)
        return found

    def wait_s(self, now: float, longest: float) -> float:
        return min(longest, max(0.0, self._queue[0][0] - now)) if self._queue else longest
