"""The asyncio side of a store: one thread, which does what waits in groups.

    callers --get, write, call--> waiting lists --> store thread --one callback a group--> callers

While one group is in the store the next one gathers; nothing waits for a group to fill. Callers
await futures; the thread wakes the event loop once for each group.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from app.core.errors import Overloaded, StoreUnavailable
from app.sessions.ports import SessionStore
from app.sessions.stored import Snapshot, Stored, Write, Written
from app.sessions.stores.values import check_write
from app.sessions.stores.waiting import Waiting, WaitingCall, WaitingGet, WaitingRoom, WaitingWrite

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How much may wait for the store, and how long.

    Attributes:
        max_waiting: sessions read and written, and other calls, that wait at once.
        max_group: sessions in one group; a larger single hand-in is a group by itself.
        wait_s: from handing in to the answer.
        check_every_s: an idle store is asked this often whether it answers.
    """

    max_waiting: int = 16_384
    max_group: int = 256
    wait_s: float = 10.0
    check_every_s: float = 1.0


@dataclass(frozen=True, slots=True)
class StoreStats:
    """One call of the store, for whoever counts.

    Attributes:
        operation: ``get``, ``write`` or the name of another method.
        size: sessions in the group, 1 for other calls.
        seconds: in the store.
        ok: false when it raised.
    """

    operation: str
    size: int
    seconds: float
    ok: bool


class StoreWorker:
    """Gives asyncio callers a store. Made, started and called on one event loop.

    Every call raises ``StoreUnavailable`` when the store does, when no answer came in
    ``wait_s`` (then a change may or may not have been applied), and after :meth:`close`; and
    ``Overloaded`` when too much waits. A caller may be cancelled: what has not been begun is
    then not done, what has been begun is finished.

    Args:
        store: closed by :meth:`close`.
        limits: how much may wait, and how long.
        observe: called on the store's thread after each call of the store; must be quick.
    """

    def __init__(
        self,
        store: SessionStore,
        limits: WorkerLimits = WorkerLimits(),
        observe: Callable[[StoreStats], None] | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._main, name="session-store", daemon=True)
        self._wake = threading.Condition()
        # Guarded by the condition; the flags below are single assignments and are not.
        self._room = WaitingRoom(limits.max_group)
        self._num_waiting = 0
        self._closing = False
        self._healthy = False
        self._checked_at = 0.0
        self._busy_since: float | None = None

    @property
    def alive(self) -> bool:
        """Whether what is handed in is worked on at all."""
        return self._thread.is_alive() and not self._closing

    @property
    def healthy(self) -> bool:
        """Whether the store answered when it was last asked, and is not silent for too long now."""
        since = self._busy_since
        hangs = since is not None and time.monotonic() - since > self._limits.wait_s
        return self.alive and self._healthy and not hangs

    @property
    def num_waiting(self) -> int:
        """Sessions and calls that wait or are in the store."""
        return self._num_waiting

    @property
    def max_sessions(self) -> int:
        """Live sessions the store takes."""
        return self._store.max_sessions

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work; answers are delivered on ``loop``."""
        self._loop = loop
        self._thread.start()

    async def get(self, ids: Sequence[str]) -> list[Stored | None]:
        """See :meth:`SessionStore.get <app.sessions.ports.SessionStore.get>`."""
        if not ids:
            return []
        return await self._hand_in(WaitingGet(self._future(), len(ids), ids))

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        """See :meth:`SessionStore.write <app.sessions.ports.SessionStore.write>`.

        The changes of one call are in one group. Changes of one session, handed in by several
        callers, are in successive groups, in the order of handing in.

        Raises:
            ValueError: an id appears twice, is no name, or a revision does not grow.
        """
        if not writes:
            return []
        for write in writes:
            check_write(write)  # before it shares a group with others
        ids = frozenset(write.id for write in writes)
        if len(ids) != len(writes):
            raise ValueError("a session is written twice in one group")
        return await self._hand_in(WaitingWrite(self._future(), len(writes), writes, ids))

    async def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        """See the store."""
        return await self._call("list_ids", lambda: self._store.list_ids(after, limit))

    async def snapshots(self, id: str) -> list[Snapshot]:
        """See the store."""
        return await self._call("snapshots", lambda: self._store.snapshots(id))

    async def snapshot(self, id: str, name: str) -> Snapshot | None:
        """See the store."""
        return await self._call("snapshot", lambda: self._store.snapshot(id, name))

    async def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        """See the store."""
        return await self._call("due", lambda: self._store.due(now, limit))

    async def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        """See the store."""
        return await self._call("remove", lambda: self._store.remove(ids))

    async def count(self) -> int:
        """See the store."""
        return await self._call("count", self._store.count)

    async def check(self) -> None:
        """See the store."""
        return await self._call("check", self._store.check)

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

    def _future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    async def _call(self, operation: str, call: Callable[[], T]) -> T:
        future: asyncio.Future[T] = self._future()
        return await self._hand_in(WaitingCall(future, 1, operation, call))

    async def _hand_in(self, item: Waiting[T]) -> T:
        with self._wake:
            if not self.alive:
                raise StoreUnavailable("the session store is closed")
            if self._num_waiting and self._num_waiting + item.count > self._limits.max_waiting:
                raise Overloaded("too much waits for the session store", retry_after_s=1.0)
            self._num_waiting += item.count
            self._room.add(item)
            self._wake.notify()
        try:
            async with asyncio.timeout(self._limits.wait_s):
                return await item.future
        except TimeoutError as error:
            text = f"the session store did not answer in {self._limits.wait_s:g} s"
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
            idle_s = self._checked_at + self._limits.check_every_s - time.monotonic()
            if not self._room and not self._closing and idle_s > 0:
                self._wake.wait(idle_s)
            if self._closing and not self._room:
                return False
            writes, gets, call = self._room.take_writes(), self._room.take_gets(), self._room.take_call()
        if writes:
            self._do("write", [(each, each.writes) for each in writes], self._store.write)
        if gets:
            self._do("get", [(each, each.ids) for each in gets], self._store.get)
        if call is not None:
            self._do_call(call)
        if time.monotonic() >= self._checked_at + self._limits.check_every_s:
            self._settle("check", [], 1, self._store.check)
        return True

    def _do(
        self,
        operation: str,
        group: Sequence[tuple[Waiting[Any], Sequence[Any]]],
        method: Callable[[Sequence[Any]], list[Any]],
    ) -> None:
        """Ask the store for all, and part the answers among the hand-ins."""
        begun = [(each, asked) for each, asked in group if not each.future.done()]
        asked = [one for _, some in begun for one in some]
        answers = self._settle(operation, [each for each, _ in group], len(asked), lambda: method(asked))
        if answers is None:
            return
        parts: list[tuple[Waiting[Any], Any]] = []
        first = 0
        for each, some in begun:
            parts.append((each, answers[first : first + len(some)]))
            first += len(some)
        self._deliver(parts)

    def _do_call(self, item: WaitingCall) -> None:
        if item.future.done():
            self._settle(item.operation, [item], 0, lambda: None)
            return
        answer = self._settle(item.operation, [item], 1, lambda: (item.call(),))
        if answer is not None:
            self._deliver([(item, answer[0])])

    def _settle(
        self, operation: str, items: Sequence[Waiting[Any]], size: int, call: Callable[[], T]
    ) -> T | None:
        """Call the store, count, note its health; on failure tell ``items`` and return ``None``."""
        begun = time.monotonic()
        self._busy_since = begun
        failure: Exception | None = None
        answer: T | None = None
        try:
            if size:
                answer = call()
        except Exception as error:
            failure = error
            if not isinstance(error, StoreUnavailable):
                logger.exception("the session store failed at %s", operation)
        self._busy_since = None
        ended = time.monotonic()
        with self._wake:
            self._num_waiting -= sum(item.count for item in items)
        if size:
            self._checked_at = ended
            self._healthy = not isinstance(failure, StoreUnavailable)
            if self._observe is not None:
                self._observe(StoreStats(operation, size, ended - begun, ok=failure is None))
        if failure is not None:
            self._deliver([(item, failure) for item in items])
            return None
        return answer

    def _give_up(self, why: str) -> None:
        with self._wake:
            rest = self._room.take_all()
            self._num_waiting -= sum(item.count for item in rest)
        self._deliver([(item, StoreUnavailable(why)) for item in rest])

    def _deliver(self, answers: Sequence[tuple[Waiting[Any], Any]]) -> None:
        """Wake the loop once for all of them."""
        if answers and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Sequence[tuple[Waiting[Any], Any]]) -> None:
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
