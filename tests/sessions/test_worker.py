"""The asyncio side of a store: groups, order, limits, cancels, health, closing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from app.core.errors import Overloaded, StoreUnavailable
from app.sessions.stores.memory import MemoryStore
from app.sessions.stores.store import SessionStore, Stored, Write, Written
from app.sessions.stores.worker import StoreStats, StoreWorker


class GatedStore(MemoryStore):
    """A store that notes its groups, waits at a gate before each, and can be down."""

    def __init__(self) -> None:
        super().__init__(100)
        self.gate = threading.Event()
        self.gate.set()
        self.groups: list[list[str]] = []
        self.down = False
        self.closed_by: str | None = None

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        """Note, wait, read."""
        self._pass(ids)
        return super().get(ids)

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Note, wait, write."""
        self._pass([f"{write.id}{write.stored.revision}" for write in writes])
        return super().write(writes)

    def check(self) -> float:
        """Fail while down."""
        if self.down:
            raise StoreUnavailable("down", retry_after_s=3.0)
        return super().check()

    def close(self) -> None:
        """Note who closes."""
        self.closed_by = threading.current_thread().name

    def _pass(self, names: Sequence[str]) -> None:
        self.groups.append(list(names))
        assert self.gate.wait(20)
        self.check()


Start = Callable[..., StoreWorker]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts workers that are closed at the end."""
    workers: list[tuple[StoreWorker, GatedStore]] = []

    def begin(
        store: GatedStore, observe: Callable[[StoreStats], None] | None = None, **limits: Any
    ) -> StoreWorker:
        worker = StoreWorker(store, observe, **limits)
        worker.start(asyncio.get_running_loop())
        workers.append((worker, store))
        return worker

    yield begin
    for worker, store in workers:
        store.gate.set()
        await worker.close()


def put(id: str, revision: int = 1) -> Write:
    """A write of the revision after the last one."""
    return Write(id, revision - 1, Stored(revision, 100.0, b"record"))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def busy(store: GatedStore, worker: StoreWorker) -> asyncio.Task[list[Stored | None]]:
    """Shut the gate with the thread waiting before it, so that what comes next gathers."""
    store.gate.clear()
    task = asyncio.create_task(worker.get(["busy"]))
    await until(lambda: store.groups and store.groups[-1] == ["busy"])
    store.groups.clear()
    return task


def hand_in(*calls: Any) -> list[asyncio.Task[Any]]:
    """Callers, in this order."""
    return [asyncio.create_task(call) for call in calls]


async def test_what_gathers_while_the_store_is_busy_goes_in_one_group(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each caller gets its own part of the answer, and the loop is woken once for a group."""
    store = GatedStore()
    worker = start(store)
    first = await busy(store, worker)
    callers = hand_in(
        worker.write([put("a"), put("b")]),
        worker.write([put("c", 5)]),
        worker.get(["a", "x"]),
        worker.get(["c"]),
        worker.call(SessionStore.count),
    )
    await until(lambda: worker.num_waiting == 8)
    loop = asyncio.get_running_loop()
    wakes = 0
    wake = loop.call_soon_threadsafe

    def count_wake(*call: Any) -> asyncio.Handle:
        nonlocal wakes
        wakes += 1
        return wake(*call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count_wake)
    store.gate.set()
    answers = await asyncio.gather(*callers)
    assert answers == [[Written(ok=True)] * 2, [Written(ok=False)], [put("a").stored, None], [None], 2]
    assert store.groups == [["a1", "b1", "c5"], ["a", "x", "c"]]
    assert await first == [None]
    assert wakes == 4  # the first read, the writes, the reads, the count


async def test_changes_of_one_session_by_several_callers_follow_each_other(start: Start) -> None:
    """They are in successive groups, in order, so that a group never holds a session twice."""
    store = GatedStore()
    worker = start(store)
    await busy(store, worker)
    callers = hand_in(
        *(worker.write([put("a", revision)]) for revision in (1, 2, 3)), worker.write([put("b")])
    )
    await until(lambda: worker.num_waiting == 5)
    store.gate.set()
    assert await asyncio.gather(*callers) == [[Written(ok=True)]] * 4
    assert store.groups == [["a1", "b1"], ["a2"], ["a3"]]


async def test_a_silent_store_is_given_up_after_the_time_limit(start: Start) -> None:
    """The caller is told, health says no, and what had not been begun is never done."""
    store = GatedStore()
    worker = start(store, wait_s=0.05)
    first = await busy(store, worker)
    with pytest.raises(StoreUnavailable, match=r"0\.05 s"):
        await worker.write([put("late")])
    with pytest.raises(StoreUnavailable):
        await first
    assert not worker.healthy
    assert worker.alive
    store.gate.set()
    await until(lambda: worker.healthy)
    assert await worker.get(["late"]) == [None]


async def test_a_cancelled_caller_takes_nothing_from_the_others(start: Start) -> None:
    """What it handed in is left out if it was not begun; its neighbours get their own answers."""
    store = GatedStore()
    worker = start(store)
    first = await busy(store, worker)
    callers = hand_in(*(worker.write([put(id)]) for id in "abc"), worker.call(SessionStore.count))
    await until(lambda: worker.num_waiting == 5)
    callers[1].cancel()
    callers[3].cancel()
    first.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    assert await callers[0] == await callers[2] == [Written(ok=True)]
    assert store.groups == [["a1", "c1"]]
    await until(lambda: worker.num_waiting == 0)


async def test_too_much_waiting_is_refused_at_once(start: Start) -> None:
    """The limit counts sessions, not calls; one call larger than the limit passes when nothing waits."""
    store = GatedStore()
    worker = start(store, max_waiting=4)
    assert await worker.get([f"{number}" for number in range(9)]) == [None] * 9
    await busy(store, worker)
    (waiting,) = hand_in(worker.get(["a", "b"]))
    await until(lambda: worker.num_waiting == 3)
    with pytest.raises(Overloaded):
        await worker.write([put("a"), put("b")])
    store.gate.set()
    assert await waiting == [None, None]
    assert await worker.write([put("a"), put("b")]) == [Written(ok=True)] * 2


async def test_a_session_that_is_written_twice_is_refused_before_it_joins_a_group(start: Start) -> None:
    """Its mistake is its caller's alone."""
    store = GatedStore()
    with pytest.raises(ValueError, match="twice"):
        await start(store).write([put("a"), put("a", 2)])
    assert store.groups == []


async def test_a_failing_store_fails_every_caller_of_the_group_and_health_follows(start: Start) -> None:
    """Each caller has an error of its own; when the store answers again, health returns without a call."""
    store = GatedStore()
    seen: list[StoreStats] = []
    worker = start(store, seen.append, check_every_s=0.01)
    await until(lambda: worker.healthy)
    callers = [await busy(store, worker)]
    callers += hand_in(worker.write([put("a")]), worker.write([put("b"), put("c")]))
    await until(lambda: worker.num_waiting == 4)
    store.down = True
    store.gate.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert [(type(error), getattr(error, "retry_after_s", None)) for error in errors] == [
        (StoreUnavailable, 3.0)
    ] * 3
    assert errors[1] is not errors[2]
    assert not worker.healthy
    store.down = False
    await until(lambda: worker.healthy)
    assert await worker.write([put("a")]) == [Written(ok=True)]
    counted = [(stats.operation, stats.size, stats.ok) for stats in seen if stats.operation == "write"]
    assert counted == [("write", 3, False), ("write", 1, True)]


async def test_an_idle_store_that_goes_down_is_noticed(start: Start) -> None:
    """Readiness needs no traffic to turn."""
    store = GatedStore()
    worker = start(store, check_every_s=0.01)
    await until(lambda: worker.healthy)
    store.down = True
    await until(lambda: not worker.healthy)


async def test_a_fault_of_the_store_itself_reaches_its_callers_and_the_thread_goes_on(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and is no sign that the store is away."""
    store = GatedStore()
    worker = start(store)

    def fault() -> int:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(store, "count", fault)
        with pytest.raises(ZeroDivisionError):
            await worker.call(SessionStore.count)
    assert "failed at count" in caplog.text
    assert await worker.call(SessionStore.count) == 0
    assert worker.healthy


async def test_closing_finishes_what_waits_and_takes_no_more(start: Start) -> None:
    """The store is closed by its own thread, after the last group."""
    store = GatedStore()
    worker = start(store)
    await busy(store, worker)
    callers = hand_in(worker.write([put("a")]), worker.call(SessionStore.count))
    await until(lambda: worker.num_waiting == 3)
    closing = asyncio.create_task(worker.close())
    await until(lambda: not worker.alive)
    store.gate.set()
    assert await asyncio.gather(*callers) == [[Written(ok=True)], 1]
    await closing
    assert store.closed_by == "session-store"
    with pytest.raises(StoreUnavailable, match="closed"):
        await worker.get(["a"])


async def test_closing_a_hanging_store_fails_what_is_left(start: Start) -> None:
    """The wait is bounded; what was not begun is told so."""
    store = GatedStore()
    worker = start(store, wait_s=20.0)
    await busy(store, worker)
    (caller,) = hand_in(worker.write([put("a")]))
    await until(lambda: worker.num_waiting == 2)
    await worker.close(timeout_s=0.05)
    with pytest.raises(StoreUnavailable, match="closed"):
        await caller
    assert not worker.healthy


async def test_every_question_passes_through(start: Start) -> None:
    """The worker offers what the store does."""
    worker = start(GatedStore())
    await worker.write([put("a")])
    assert await worker.call(SessionStore.list_ids, "", 5) == [("a", put("a").stored)]
    assert await worker.call(SessionStore.due, 200.0, 5) == [("a", put("a").stored)]
    assert (
        await worker.call(SessionStore.snapshots, "a"),
        await worker.call(SessionStore.snapshot, "a", "s"),
    ) == ([], None)
    await worker.call(SessionStore.check)
    await worker.call(SessionStore.remove, [("a", 1)])
    assert (await worker.get(["a"]), await worker.get([]), await worker.write([])) == ([None], [], [])


async def test_a_worker_that_was_never_started_closes_its_store() -> None:
    """A start-up that failed half-way leaves no lock behind."""
    store = GatedStore()
    worker = StoreWorker(store)
    await worker.close()
    assert store.closed_by is not None
