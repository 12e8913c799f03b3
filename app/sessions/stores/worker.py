"""The asyncio side of a store: one thread, which does what waits in groups.

While one group is in the store the next one gathers; nothing waits for a group to fill.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, TypeVarTuple

from app.core.errors import Overloaded, StoreDamaged, StoreUnavailable
from app.sessions.stores.backlog import TOGETHER, Backlog, Waiting
from app.sessions.stores.clock import StoreClock
from app.sessions.stores.store import SessionStore, Stored, Write, Written

logger = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_SKEW_S = 30.0
_LOG_S = 10.0


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

    Attributes:
        clock: the store's.
        is_off: whether it and this machine's clock differ by more than ``max_skew_s``.
        trouble: why no request should be sent here, if so.
    """

    def __init__(
        self,
        store: SessionStore,
        observe: Callable[[StoreStats], None] | None = None,
        max_waiting: int = 16_384,
        max_group: int = 256,
        wait_s: float = 10.0,
        check_every_s: float = 1.0,
        max_skew_s: float = MAX_SKEW_S,
    ) -> None:
        self.clock = StoreClock()
        self._store = store
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._check_every_s = check_every_s
        self._max_skew_s = max_skew_s
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._main, name="session-store", daemon=True)
        self._wake = threading.Condition()
        # Guarded by the condition; the flags below are single assignments and are not.
        self._backlog = Backlog(max_group)
        self.num_waiting = 0
        self._closing = False
        self._healthy = False
        self.is_off = False
        self._has_failed = False
        self._quiet_until = 0.0
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

    @property
    def trouble(self) -> str | None:
        if not self.healthy:
            return "the session store does not answer"
        return self._off_by() if self.is_off else None

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
        """One group of each kind, after a check if it is time; false when nothing is left to do, for good."""
        with self._wake:
            idle_s = self._checked_at + self._check_every_s - time.monotonic()
            if not self._backlog and not self._closing and idle_s > 0:
                self._wake.wait(idle_s)
            if self._closing and not self._backlog:
                return False
        if time.monotonic() >= self._checked_at + self._check_every_s:
            self._check()
        with self._wake:
            groups = self._backlog.take()
        for group in groups:
            self._do(group)
        return True

    def _check(self) -> None:
        """Ask the store how it is, and what time it is."""
        asked_at = self._checked_at = time.monotonic()
        told = self._run("check", ())
        if not isinstance(told, float):
            return
        self.clock.hear(told, asked_at)
        is_off = abs(self.clock.skew_s) > self._max_skew_s
        if is_off != self.is_off:
            self.is_off = is_off
            if is_off:
                logger.error(
                    "%s; sessions expire by the store's, and none is ended from here", self._off_by()
                )
            else:
                logger.info("this machine's clock agrees with the session store's again")

    def _off_by(self) -> str:
        skew = self.clock.skew_s
        side = "ahead of" if skew > 0 else "behind"
        return f"this machine's clock is {abs(skew):.0f} s {side} the session store's"

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
        if isinstance(answer, StoreDamaged) and len(begun) > 1:
            # Who does not ask for what is damaged has nothing to do with it.
            for item in group:
                self._do([item])
            return
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
            if not isinstance(error, (StoreUnavailable, StoreDamaged)):
                logger.exception("the session store failed at %s", method)
        self._busy_since = None
        ended = time.monotonic()
        self._healthy = not isinstance(answer, StoreUnavailable)
        if self._has_failed or isinstance(answer, Exception):
            self._say(answer, ended)
        if self._observe is not None:
            ok = not isinstance(answer, Exception)
            self._observe(StoreStats(method, size, ended - began, ok))
        return answer

    def _say(self, answer: Any, now: float) -> None:
        """Log that the store fails, once in a while, and that it answers again."""
        if isinstance(answer, (StoreUnavailable, StoreDamaged)):
            if now >= self._quiet_until:
                self._quiet_until = now + _LOG_S
                self._has_failed = isinstance(answer, StoreUnavailable)
                logger.error("the session store fails: %s", answer.message)
        elif self._has_failed:
            self._has_failed = False
            logger.info("the session store answers again")

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
