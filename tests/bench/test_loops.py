"""The loops' accounting: who sends when, what counts, and that a stalled server cannot hide itself."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

import pytest

from rnnserve_bench.loops import ClosedLoop, OpenLoop, Unit, Window


class FakeUnit(Unit):
    """Hands each event to a server that the test plays."""

    def __init__(self, server: Callable[[FakeUnit], None]) -> None:
        super().__init__()
        self.sent: list[tuple[float, float]] = []
        self._server = server

    def emit(self) -> None:
        """Note when the event was due and when it was sent."""
        assert len(self.sent) == 0 or not self.in_flight, "one event in flight at most"
        self.in_flight = True
        self.sent.append((self.due, time.perf_counter()))
        self._server(self)

    in_flight = False

    def answer(self, failure: str | None = None) -> None:
        """The server's answer."""
        self.in_flight = False
        self.answered(failure)


def at_once(unit: FakeUnit) -> None:
    """A server that answers in the next turn of the event loop."""
    asyncio.get_running_loop().call_soon(unit.answer)


def slowly(unit: FakeUnit) -> None:
    """A server that is slower than the arrivals of the tests."""
    asyncio.get_running_loop().call_later(0.01, unit.answer)


def never(unit: FakeUnit) -> None:
    """A server that does not answer."""


async def test_a_closed_loop_keeps_one_event_of_each_unit_in_flight() -> None:
    """Each unit sends its next event only when the last was answered, and all of them do."""
    units = [FakeUnit(at_once) for _ in range(3)]
    record = await ClosedLoop(units, Window(0.05)).run()
    assert all(len(unit.sent) > 1 for unit in units)
    assert record.total == sum(len(unit.sent) for unit in units)
    assert len(record.latencies) == record.total
    assert not record.failures
    assert record.unanswered == 0


async def test_max_events_bounds_what_is_sent() -> None:
    """The run ends when so many were sent and answered, long before its window does."""
    units = [FakeUnit(at_once) for _ in range(4)]
    record = await ClosedLoop(units, Window(30.0), max_events=10).run()
    assert sum(len(unit.sent) for unit in units) == 10
    assert record.total == 10


async def test_warm_up_is_not_measured() -> None:
    """Events that were due before the window are answered and left out."""
    unit = FakeUnit(at_once)
    record = await ClosedLoop([unit], Window(30.0, warm_s=0.05), max_events=10).run()
    assert len(record.latencies) == 10 < record.total
    # The last one that was due before may have been answered inside.
    assert record.answered in (10, 11)


async def test_an_event_without_answer_counts_with_the_time_it_waited() -> None:
    """The run gives up, and neither forgets the event nor its age."""
    unit = FakeUnit(never)
    record = await ClosedLoop([unit], Window(0.05, drain_s=0.1)).run()
    assert record.unanswered == 1
    assert record.answered == 0
    assert len(record.latencies) == 1
    assert record.latencies[0] >= 0.1


async def test_failures_are_counted_apart_and_tried_again() -> None:
    """A refused event is no latency; its unit goes on after a pause."""

    def refuse_first(unit: FakeUnit) -> None:
        failure = "status 503" if len(unit.sent) == 1 else None
        asyncio.get_running_loop().call_soon(unit.answer, failure)

    unit = FakeUnit(refuse_first)
    record = await ClosedLoop([unit], Window(5.0), max_events=3).run()
    assert record.failures == {"status 503": 1}
    assert record.total == 2


async def test_a_run_ends_when_every_connection_is_gone() -> None:
    """Nothing is waited for that cannot come."""

    def cut(unit: FakeUnit) -> None:
        asyncio.get_running_loop().call_soon(unit.lost, "the connection was lost")

    record = await ClosedLoop([FakeUnit(cut) for _ in range(2)], Window(30.0)).run()
    assert record.failures == {"the connection was lost": 2}


@pytest.mark.parametrize("any_unit", [True, False])
async def test_open_latencies_count_from_when_an_event_was_due(any_unit: bool) -> None:
    """While the server stalls, events fall due and wait unsent; each counts from its own due time."""
    held: list[FakeUnit] = []
    stalling = True

    def server(unit: FakeUnit) -> None:
        if stalling:
            held.append(unit)
        else:
            at_once(unit)

    units = [FakeUnit(server) for _ in range(2)]
    loop = OpenLoop(units, Window(0.4), 500.0, any_unit=any_unit)

    async def end_stall() -> float:
        nonlocal stalling
        await asyncio.sleep(0.3)
        stalling = False
        ended = time.perf_counter()
        for unit in held:
            unit.answer()
        return ended

    record, ended = await asyncio.gather(loop.run(), end_stall())
    sent = sorted(pair for unit in units for pair in unit.sent)
    waited = [due for due, at in sent if due < ended <= at]
    # The events that a closed loop would never have sent: far more than the two that were in flight.
    assert len(waited) > 20
    assert len(record.latencies) == record.total == len(sent)
    # Whatever was due before the stall's end shows at least the rest of the stall, sent only after it or not.
    slow = sorted(record.latencies, reverse=True)
    dues = [due for due, _ in sent if due < ended]
    assert all(shown >= ended - due for shown, due in zip(slow, dues, strict=False))


async def test_an_open_loop_keeps_an_event_to_its_session() -> None:
    """A session's event waits for that session, even while another is free."""
    units = [FakeUnit(never), FakeUnit(at_once)]
    record = await OpenLoop(units, Window(0.2, drain_s=0.05), 200.0).run()
    assert len(units[0].sent) == 1
    assert record.unanswered > 1
    assert record.total == len(units[1].sent) > 1


async def test_an_open_loop_bounds_what_waits() -> None:
    """Beyond the bound an event is a failure, not a longer queue."""
    record = await OpenLoop([FakeUnit(never)], Window(0.2, drain_s=0.0), 1000.0, max_waiting=5).run()
    assert record.failures["not sent: too many events wait"] > 0
    assert record.unanswered == 6


async def test_max_events_bounds_an_open_loop_too() -> None:
    """What waits beyond the bound is neither sent nor called unanswered."""
    unit = FakeUnit(slowly)
    record = await OpenLoop([unit], Window(30.0), 2000.0, max_events=5).run()
    assert record.total == len(unit.sent) == 5
    assert record.unanswered == 0


async def test_arrivals_repeat_with_their_seed() -> None:
    """The same seed makes the same pauses between the same units' events."""

    async def pauses(seed: int) -> list[float]:
        unit = FakeUnit(at_once)
        await OpenLoop([unit], Window(30.0), 2000.0, seed=seed, max_events=20).run()
        dues = [due for due, _ in unit.sent]
        return [round(after - before, 6) for before, after in itertools.pairwise(dues)]

    assert await pauses(1) == await pauses(1)
    assert await pauses(1) != await pauses(2)
