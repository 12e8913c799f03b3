"""Sessions in a dict: for tests, and for sessions that may be thrown away with the process."""

from __future__ import annotations

import heapq
import math
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.sessions.stores.store import Snapshot, Stored, Write, Written, by_age


@dataclass(slots=True)
class _Entry:
    stored: Stored
    live: bool
    planned: float
    snapshots: dict[str, Snapshot] = field(default_factory=dict)


class MemoryStore:
    """A :class:`SessionStore` in this process's memory; never unavailable."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._entries: dict[str, _Entry] = {}
        self._live: list[str] = []
        # Entries are not taken out when a plan changes: those that no longer name an entry's
        # planned time are passed over.
        self._plan: list[tuple[float, str]] = []

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        entries = self._entries
        return [entry.stored if (entry := entries.get(id)) else None for id in ids]

    def write(self, writes: Sequence[Write]) -> list[Written]:
        return [self._write(write) for write in writes]

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        first = bisect_right(self._live, after)
        return [(id, self._entries[id].stored) for id in self._live[first : first + limit]]

    def snapshots(self, id: str) -> list[Snapshot]:
        entry = self._entries.get(id)
        held = by_age(entry.snapshots.values()) if entry else []
        return [Snapshot(each.name, each.step, each.automatic, each.created_at) for each in held]

    def snapshot(self, id: str, name: str) -> Snapshot | None:
        entry = self._entries.get(id)
        return entry.snapshots.get(name) if entry else None

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        found: dict[str, float] = {}
        while self._plan and self._plan[0][0] <= now and len(found) < limit:
            planned, id = heapq.heappop(self._plan)
            entry = self._entries.get(id)
            if entry is None or entry.planned != planned:
                continue
            if entry.stored.expires_at > now:
                self._replan(id, entry)
            else:
                found[id] = planned
        for id, planned in found.items():
            heapq.heappush(self._plan, (planned, id))
        return [(id, self._entries[id].stored) for id in found]

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        for id, revision in ids:
            entry = self._entries.get(id)
            if entry is not None and entry.stored.revision == revision:
                del self._entries[id]
                if entry.live:
                    self._forget_live(id)

    def count(self) -> int:
        return len(self._live)

    def check(self) -> float:
        return time.time()

    def close(self) -> None:
        self._entries.clear()
        self._live.clear()
        self._plan.clear()

    def _write(self, write: Write) -> Written:
        entry = self._entries.get(write.id)
        if entry and (entry.stored, entry.live) == (write.stored, write.live):
            return Written(ok=True)
        if (entry.stored.revision if entry else 0) != write.expected:
            return Written(ok=False, current=entry.stored if entry else None)
        was_live = entry is not None and entry.live
        if write.live and not was_live and len(self._live) >= self._max_sessions:
            return Written(ok=False, current=entry.stored if entry else None, full=True)
        if write.live and not was_live and write.max_owned is not None:
            owner = write.id.rpartition("/")[0]
            if owner and self._owned(owner) >= write.max_owned:
                return Written(ok=False, current=entry.stored if entry else None, crowded=True)
        if entry is None:
            entry = self._entries[write.id] = _Entry(write.stored, write.live, planned=math.nan)
            self._replan(write.id, entry)
        entry.stored = write.stored
        if write.stored.expires_at < entry.planned or write.live != was_live:
            self._replan(write.id, entry)
        entry.live = write.live
        if write.live and not was_live:
            insort(self._live, write.id)
        elif was_live and not write.live:
            self._forget_live(write.id)
        self._keep_snapshots(entry.snapshots, write)
        return Written(ok=True)

    def _owned(self, owner: str) -> int:
        return bisect_left(self._live, f"{owner}0") - bisect_left(self._live, f"{owner}/")  # 0 follows /

    def _replan(self, id: str, entry: _Entry) -> None:
        if entry.planned != entry.stored.expires_at:
            entry.planned = entry.stored.expires_at
            heapq.heappush(self._plan, (entry.planned, id))

    def _forget_live(self, id: str) -> None:
        del self._live[bisect_right(self._live, id) - 1]

    @staticmethod
    def _keep_snapshots(snapshots: dict[str, Snapshot], write: Write) -> None:
        if write.drop_snapshots:
            snapshots.clear()
        new = write.snapshot
        if new is None:
            return
        held = snapshots.get(new.name)
        if held is None or held.automatic or not new.automatic:
            snapshots[new.name] = new
        if new.automatic:
            automatic = [each.name for each in by_age(snapshots.values()) if each.automatic]
            for name in automatic[: max(0, len(automatic) - write.keep_automatic)]:
                del snapshots[name]
