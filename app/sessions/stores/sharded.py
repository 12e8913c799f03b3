"""Several stores as one: each session is in the store that its id, or its owner, names."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain, islice
from typing import TypeVar

from app.sessions.stores.store import SessionStore, Snapshot, Stored, Write, Written, owner_of

QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")


class ShardedStore:
    """A :class:`SessionStore` over others of one kind, which are asked at the same time.

    All sessions of an owner are in one of them, which so counts them exactly. How many sessions there may be
    is bounded in each by itself. One that cannot be reached fails the whole call.
    """

    def __init__(self, stores: Sequence[SessionStore]) -> None:
        self._stores = stores
        self._threads = ThreadPoolExecutor(len(stores), thread_name_prefix="session-shard")

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        return self._parted(ids, ids, lambda store, some: store.get(some))

    def write(self, writes: Sequence[Write]) -> list[Written]:
        return self._parted([write.id for write in writes], writes, lambda store, some: store.write(some))

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        pages = self._all(lambda store: store.list_ids(after, limit), self._stores)
        # Stores order ids by their bytes, as Python orders text by its code points.
        return list(islice(heapq.merge(*pages, key=lambda found: found[0]), limit))

    def snapshots(self, id: str) -> list[Snapshot]:
        return self._stores[self._shard(id)].snapshots(id)

    def snapshot(self, id: str, name: str) -> Snapshot | None:
        return self._stores[self._shard(id)].snapshot(id, name)

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        return [*chain(*self._all(lambda store: store.due(now, limit), self._stores))][:limit]

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        def forget(store: SessionStore, some: Sequence[tuple[str, int]]) -> Sequence[None]:
            store.remove(some)
            return [None] * len(some)

        self._parted([id for id, _ in ids], ids, forget)

    def count(self) -> int:
        return sum(self._all(lambda store: store.count(), self._stores))

    def check(self) -> float:
        return self._all(lambda store: store.check(), self._stores)[0]

    def close(self) -> None:
        self._threads.shutdown()
        for store in self._stores:
            store.close()

    def _shard(self, id: str) -> int:
        key = id.encode()
        return zlib.crc32(owner_of(key) or key) % len(self._stores)

    def _all(self, ask: Callable[[QuestionT], AnswerT], questions: Sequence[QuestionT]) -> list[AnswerT]:
        """Ask at once, and wait for all even where one fails: a store has one call at a time."""
        if len(questions) == 1:
            return [ask(questions[0])]
        calls = [self._threads.submit(ask, question) for question in questions]
        wait(calls)
        return [call.result() for call in calls]

    def _parted(
        self,
        ids: Sequence[str],
        questions: Sequence[QuestionT],
        ask: Callable[[SessionStore, Sequence[QuestionT]], Sequence[AnswerT]],
    ) -> list[AnswerT]:
        """Ask each store what is its own, and bring the answers into the order of the questions."""
        places: dict[int, list[int]] = {}
        for place, id in enumerate(ids):
            places.setdefault(self._shard(id), []).append(place)
        parts = [(self._stores[shard], [questions[at] for at in mine]) for shard, mine in places.items()]
        answers = self._all(lambda part: ask(*part), parts)
        found = dict(zip(chain(*places.values()), chain(*answers), strict=True))
        return [found[place] for place in range(len(ids))]
