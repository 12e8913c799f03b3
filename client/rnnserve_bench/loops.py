"""Closed and open loops over units: who sends when, and how latency is accounted.

A unit (a session, a connection) has one event in flight at most.

- Closed: a unit sends its next event when the last was answered. The rate follows the server.
- Open: events fall due by a Poisson process that knows nothing of the server. An event whose unit is
  busy waits for it, and its latency counts from when it was due.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnnserve_bench.record import Record

# A unit that was refused or cut off waits so long: a closed loop must not become a storm.
_BACK_OFF_S = 0.1
_TICK_S = 0.001
# An answer later than this after the window is not waited for.
DRAIN_S = 10.0


class Unit:
    """One sender with at most one event in flight; scenarios subclass it.

    Attributes:
        due: when its present event was due.
        busy: whether an event is in flight.
        gone: whether it can send no more.
    """

    def __init__(self) -> None:
        self.due = 0.0
        self.busy = False
        self.gone = False
        self.waiting: deque[float] = deque()
        self.loop: Loop | None = None

    def emit(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End its connection, where it has one of its own."""

    def answered(self, failure: str | None = None) -> None:
        """To be called once for each event: good, or what went wrong."""
        if self.loop is not None and self.busy:
            self.busy = False
            self.loop.done(self, failure)

    def lost(self, failure: str) -> None:
        """It can send no more."""
        self.gone = True
        self.answered(failure)
        if self.loop is not None:
            self.loop.check_end()


@dataclass(frozen=True, slots=True)
class Window:
    """When events count: ``seconds`` after ``warm_s``."""

    seconds: float
    warm_s: float = 0.0
    drain_s: float = DRAIN_S


class Loop:
    """What both loops share: the window, the accounting and the end.

    Args:
        units: who sends.
        window: when events count.
        max_events: sent at most inside the window, which then ends early.
    """

    def __init__(self, units: Sequence[Unit], window: Window, max_events: int | None = None) -> None:
        self.record = Record()
        self._units = units
        self._window = window
        self._left = max_events
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._from = self._until = 0.0

    def counts(self, now: float) -> bool:
        """Whether something that happens now belongs to the window."""
        return self._from <= now < self._until

    async def run(self) -> Record:
        """Send until the window ends, wait for what is in flight, and return the record."""
        cpu = time.process_time()
        started = time.perf_counter()
        self._from = started + self._window.warm_s
        self._until = self._from + self._window.seconds
        for unit in self._units:
            unit.loop = self
        self._begin(started)
        try:
            left = self._until + self._window.drain_s - time.perf_counter()
            await asyncio.wait_for(self._idle.wait(), left)
        except TimeoutError:
            pass
        now = time.perf_counter()
        for unit in self._units:
            unit.loop = None
            self._give_up(unit, now)
        self._stop()
        self.record.seconds = max(0.0, min(now, self._until) - self._from)
        self.record.client_cpu_s = time.process_time() - cpu
        return self.record

    def done(self, unit: Unit, failure: str | None) -> None:
        """A unit's event has ended."""
        now = time.perf_counter()
        self._in_flight -= 1
        if failure is None:
            self.record.total += 1
            # Due inside the window, whenever it was answered: the slow ones are not left out.
            if self._from <= unit.due < self._until:
                self.record.latencies.append(now - unit.due)
            if self.counts(now):
                self.record.answered += 1
            self._next(unit, now)
        else:
            self.record.failures[failure] += 1
            if not unit.gone:
                asyncio.get_running_loop().call_later(_BACK_OFF_S, self._again, unit)
        self.check_end()

    def check_end(self) -> None:
        """Notice when nothing more will happen."""
        over = time.perf_counter() >= self._until or self._left == 0 or all(unit.gone for unit in self._units)
        if over and self._in_flight <= 0 and not self._pending():
            self._idle.set()

    def _send(self, unit: Unit, due: float) -> None:
        if self._left is not None and due >= self._from:
            if not self._left:
                return
            self._left -= 1
        unit.due = due
        unit.busy = True
        self._in_flight += 1
        unit.emit()

    def _again(self, unit: Unit) -> None:
        if unit.loop is self and not unit.busy and not unit.gone:
            self._next(unit, time.perf_counter())
        self.check_end()

    def _give_up(self, unit: Unit, now: float) -> None:
        self._count_unanswered([unit.due] if unit.busy else [], now)
        # Beyond ``max_events`` they were not to be sent.
        if self._left != 0:
            self._count_unanswered(unit.waiting, now)
        unit.waiting.clear()

    def _count_unanswered(self, dues: Iterable[float], now: float) -> None:
        for due in dues:
            if self._from <= due < self._until:
                self.record.latencies.append(now - due)
                self.record.unanswered += 1

    def _begin(self, now: float) -> None:
        raise NotImplementedError

    def _next(self, unit: Unit, now: float) -> None:
        raise NotImplementedError

    def _pending(self) -> bool:
        return False

    def _stop(self) -> None:
        pass


class ClosedLoop(Loop):
    """Every unit always has one event in flight."""

    def _begin(self, now: float) -> None:
        asyncio.get_running_loop().call_later(max(0.0, self._until - now), self.check_end)
        for unit in self._units:
            self._send(unit, now)

    def _next(self, unit: Unit, now: float) -> None:
        if now < self._until:
            self._send(unit, now)


class OpenLoop(Loop):
    """Events fall due at ``rate`` a second in all, each for a random unit.

    Args:
        units: who sends.
        window: when events count.
        rate: events a second of all units together.
        any_unit: an event may be sent by whichever unit is free, as on a pool of connections; otherwise it
            belongs to its unit, as a session's event does.
        seed: of the arrivals.
        max_waiting: events that may wait for a unit before further ones are counted as failures.
        max_events: most events sent.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        window: Window,
        rate: float,
        *,
        any_unit: bool = False,
        seed: int = 0,
        max_waiting: int = 1_000_000,
        max_events: int | None = None,
    ) -> None:
        super().__init__(units, window, max_events)
        self._rate = rate
        self._chance = random.Random(seed)
        self._any_unit = any_unit
        self._free: deque[Unit] = deque(units)
        self._queue: deque[float] = deque()
        self._num_waiting = 0
        self._max_waiting = max_waiting
        self._coming = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def _begin(self, now: float) -> None:
        self._coming = now + self._chance.expovariate(self._rate)
        self._tick()

    def _tick(self) -> None:
        now = time.perf_counter()
        while self._coming <= min(now, self._until):
            self._arrive(self._coming, now)
            self._coming += self._chance.expovariate(self._rate)
        if now < self._until and self._left != 0:
            pause = max(_TICK_S, self._coming - now)
            self._timer = asyncio.get_running_loop().call_later(min(pause, 0.1), self._tick)
        else:
            self._timer = None
            self.check_end()

    def _arrive(self, due: float, now: float) -> None:
        if self._num_waiting >= self._max_waiting:
            self.record.failures["not sent: too many events wait"] += 1
            return
        if self._any_unit:
            while self._free and (self._free[0].gone or self._free[0].busy):
                self._free.popleft()
            if self._free:
                self._lag(due, now)
                self._send(self._free.popleft(), due)
            else:
                self._num_waiting += 1
                self._queue.append(due)
            return
        unit = self._chance.choice(self._units)
        if unit.gone:
            self.record.failures["not sent: the connection is gone"] += 1
        elif unit.busy or unit.waiting:
            self._num_waiting += 1
            unit.waiting.append(due)
        else:
            self._lag(due, now)
            self._send(unit, due)

    def _lag(self, due: float, now: float) -> None:
        if self.counts(now):
            self.record.lags.append(now - due)

    def _next(self, unit: Unit, now: float) -> None:
        queue = self._queue if self._any_unit else unit.waiting
        if queue:
            self._num_waiting -= 1
            self._send(unit, queue.popleft())
        elif self._any_unit:
            self._free.append(unit)

    def _pending(self) -> bool:
        return self._left != 0 and (self._timer is not None or self._num_waiting > 0)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._left != 0:
            self._count_unanswered(self._queue, time.perf_counter())
