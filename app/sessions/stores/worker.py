"""The asyncio side of a store: one thread, which does what waits in groups.

While one group is in the store the next one gathers; nothing waits for a group to fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

from app.core.errors import Overloaded, StoreUnavailable
from app.sessions.stores.store import SessionStore, Stored, Write, Written

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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


@dataclass(frozen=True, slots=True)
class StoreStats:
    """One call of the store; ``size`` is the sessions in the group, 1 for other calls."""

    operation: str
    size: int
    seconds: float
    ok: bool


class StoreWorker:
    """Gives asyncio callers a store. Made, started and called on one event loop.

    Calls raise ``StoreUnavailable`` when the store does, when no answer came in ``wait_s`` (then a change may
    or may not have been applied), and after :meth:`close`; ``Overloaded`` when too much waits. A caller may
    be cancelled: what has not been begun is then not done, what has been begun is finished. ``observe`` is
    called on the store's thread.
    """

    def __init__(
        self,
        store: SessionStore,
        observe: Callable[[StoreStats], None] | None = None,
        max_waiting: int = 16_384,
        max_group: int = 256,
        wait_s: float = 10.0,
        check_every_s: float = 1.0,
    ) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._check_every_s = check_every_s
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._main, name="session-store", daemon=True)
        self._wake = threading.Condition()
        # Guarded by the condition; the flags below are single assignments and are not.
        self._backlog = Backlog(max_group)
        self.num_waiting = 0
        self._closing = False
        self._healthy = False
        self._checked_at = 0.0
        self._busy_since: float | None = None

    @property
    def alive(self) -> bool:
        """Whether what is asked is worked on at all."""
        return self._thread.is_alive() and not self._closing

    @property
    def healthy(self) -> bool:
        """Whether the store answered when it was last asked, and is not silent for too long now."""
        since = self._busy_since
        hangs = since is not None and time.monotonic() - since > self._wait_s
        return self.alive and self._healthy and not hangs

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    async def get(self, ids: Sequence[str]) -> list[Stored | None]:
        if not ids:
            return []
        found: list[Stored | None] = await self._ask("get", ids, len(ids))
        return found

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        """Those of many callers become one; changes of one session are in successive groups, in order."""
        if not writes:
            return []
        ids = frozenset([write.id for write in writes])
        if len(ids) != len(writes):
            raise ValueError("a session is written twice in one group")
        outcomes: list[Written] = await self._ask("write", writes, len(writes), ids)
        return outcomes

    async def call(self, method: Callable[[SessionStore, *Ts], T], *args: *Ts) -> T:
        """Any other method of the store, named by its protocol: ``call(SessionStore.due, now, 10)``."""
        answer: T = await self._ask(method.__name__, args)
        return answer

    async def close(self, timeout_s: float = 10.0) -> None:
        """Finish what waits, for so long at most, fail the rest, and close the store."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._loop is None:  # never started
            self._store.close()
        until = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < until:
            await asyncio.sleep(0.005)
        self._give_up("the session store is closed")

    async def _ask(
        self, method: str, arguments: Sequence[Any], count: int = 1, ids: frozenset[str] = frozenset()
    ) -> Any:
        future = asyncio.get_running_loop().create_future()
        with self._wake:
            if not self.alive:
                raise StoreUnavailable("the session store is closed")
            if self.num_waiting and self.num_waiting + count > self._max_waiting:
                raise Overloaded("too much waits for the session store", retry_after_s=1.0)
            self.num_waiting += count
            self._backlog.add(Waiting(future, method, arguments, count, ids))
            self._wake.notify()
        try:
            async with asyncio.timeout(self._wait_s):
                return await future
        except TimeoutError as error:
            text = f"the session store did not answer in {self._wait_s:g} s"
            raise StoreUnavailable(text, retry_after_s=1.0) from error

    # What follows runs on the store's thread.

    def _main(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException:
            logger.exception("the session store's thread ended")
        finally:
            self._give_up("the session store's thread ended")
            try:
                self._store.close()
            except Exception:
                logger.exception("the session store did not close cleanly")

    def _turn(self) -> bool:
        """One group of each kind, or a check; false when there is nothing left to do, for good."""
        with self._wake:
            idle_s = self._checked_at + self._check_every_s - time.monotonic()
            if not self._backlog and not self._closing and idle_s > 0:
                self._wake.wait(idle_s)
            if self._closing and not self._backlog:
                return False
            groups = self._backlog.take()
        for group in groups:
            self._do(group)
        if time.monotonic() >= self._checked_at + self._check_every_s:
            self._run("check", ())
        return True

    def _do(self, group: Sequence[Waiting]) -> None:
        """Ask the store for all that still have a caller, and part the answers among them."""
        method = group[0].method
        together = method in TOGETHER
        begun: list[Waiting] = []
        asked: list[Any] = []
        num_calls = 0
        for item in group:
            num_calls += item.count
            if not item.future.done():
                begun.append(item)
                asked += item.arguments
        answer: Any = None
        if begun:
            answer = self._run(method, (asked,), len(asked)) if together else self._run(method, asked)
        with self._wake:
            self.num_waiting -= num_calls
        answers: list[tuple[Waiting, Any]] = []
        first = 0
        for item in begun:
            whole = not together or isinstance(answer, Exception)
            answers.append((item, answer if whole else answer[first : first + item.count]))
            first += item.count
        self._deliver(answers)

    def _run(self, method: str, arguments: Sequence[Any], size: int = 1) -> Any:
        """Call the store, count, and note its health; what it raises is returned."""
        began = time.monotonic()
        self._busy_since = began
        try:
            answer = getattr(self._store, method)(*arguments)
        except Exception as error:
            answer = error
            if not isinstance(error, StoreUnavailable):
                logger.exception("the session store failed at %s", method)
        self._busy_since = None
        self._checked_at = time.monotonic()
        self._healthy = not isinstance(answer, StoreUnavailable)
        if self._observe is not None:
            ok = not isinstance(answer, Exception)
            self._observe(StoreStats(method, size, self._checked_at - began, ok))
        return answer

    def _give_up(self, why: str) -> None:
        with self._wake:
            left = self._backlog.take_all()
            self.num_waiting -= sum(item.count for item in left)
        self._deliver([(item, StoreUnavailable(why)) for item in left])

    def _deliver(self, answers: Sequence[tuple[Waiting, Any]]) -> None:
        """Wake the loop once for all of them."""
        if answers and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Sequence[tuple[Waiting, Any]]) -> None:
    for item, answer in answers:
        if item.future.done():
            continue  # its caller has gone
        if isinstance(answer, StoreUnavailable):
            # An exception of its own for each caller: raising one changes it.
            fresh = StoreUnavailable(answer.message, retry_after_s=answer.retry_after_s)
            fresh.__cause__ = answer.__cause__
            item.future.set_exception(fresh)
        elif isinstance(answer, Exception):
            item.future.set_exception(answer)
        else:
            item.future.set_result(answer)
