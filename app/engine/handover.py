"""Between the event loop and the engine's turns: jobs on their way in, deliveries on their way out."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence

from app.core.errors import Draining, EngineDead, Overloaded
from app.engine.job import Delivery, Job
from app.engine.load import EngineLoad, QueueLimits

logger = logging.getLogger(__name__)

_HIGH_WATER = 0.99
"""Above this part of a limit, a refusal marks the queue as full; what is merely too large does not."""
_LOW_WATER = 0.75
"""Below this part of both limits, a full queue takes work again."""
DEAD = "this model has stopped and needs the server to be restarted"

# Streams of small networks produce tokens faster than they should be sent one by one: a frame costs more
# than a step does. Tokens wait for those that follow, the longer the more streams there are to be written
# to, and far less than anybody notices. First tokens and all other answers go at once.
_TOKENS_WAIT_S = 1e-3
_EACH_WAITS_S = 1e-4
_LONGEST_WAIT_S = 1e-2


class Intake:
    """The queue's front and its books, shared by both threads and guarded by its lock."""

    def __init__(self, limits: QueueLimits) -> None:
        self.stopping = False
        self.dead = False
        self._limits = limits
        self._lock = threading.Lock()
        self._new: list[Job] = []
        self._given_up: list[Job] = []
        self._steps = 0
        self._sequences = 0
        self._steps_per_s = 0.0
        self._full = False
        self._draining = False

    @property
    def waiting(self) -> bool:
        """Read without the lock."""
        return bool(self._new or self._given_up)

    @property
    def full_for_s(self) -> float | None:
        """While the queue is full, about how many seconds of work it holds; read without the lock."""
        return self._wait_s() if self._full else None

    def load(self) -> EngineLoad:
        with self._lock:
            return EngineLoad(self._steps, self._sequences)

    def reserve(self, steps: int, sequences: int) -> None:
        """Book what is about to be queued, or raise Overloaded, Draining or EngineDead."""
        with self._lock:
            if self.dead:
                raise EngineDead(DEAD)
            if self._draining:
                raise Draining("the server is shutting down", retry_after_s=1.0)
            if self._full or not self._has_room(1.0, steps, sequences):
                self._full = not self._has_room(_LOW_WATER if self._full else _HIGH_WATER)
                raise Overloaded("the model's queue is full; try again later", retry_after_s=self._wait_s())
            self._steps += steps
            self._sequences += sequences

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue what is booked; raises Draining or EngineDead where the engine has ended since."""
        with self._lock:
            if self.dead:
                raise Draining("the server is shutting down") if self.stopping else EngineDead(DEAD)
            self._new += jobs

    def give_up(self, jobs: Sequence[Job]) -> None:
        """Give up jobs that were put; those that have ended are passed over."""
        with self._lock:
            self._given_up += jobs

    def take(self) -> tuple[list[Job], list[Job]]:
        """New jobs, and then those given up, since the last call."""
        with self._lock:
            new, self._new = self._new, []
            given_up, self._given_up = self._given_up, []
            return new, given_up

    def settle(self, steps: int, sequences: int, rate: float | None = None) -> int:
        """Book what was done or has left, and the tick's steps a second, if any; the steps still queued."""
        with self._lock:
            if rate is not None:
                self._steps_per_s = 0.9 * self._steps_per_s + 0.1 * rate if self._steps_per_s else rate
            if not self.dead:  # otherwise nothing is booked any more
                self._steps -= steps
                self._sequences -= sequences
            self._full = self._full and not self._has_room(_LOW_WATER)
            return self._steps

    def drain(self) -> None:
        with self._lock:
            self._draining = True

    def stop(self) -> None:
        with self._lock:
            self._draining = self.stopping = True

    def die(self) -> list[Job]:
        """Refuse everything from now on, with nothing booked; what was queued and not taken."""
        with self._lock:
            self.dead = True
            self._steps = self._sequences = 0
            self._full = False
            new, self._new = self._new, []
            return new

    def _has_room(self, part: float, steps: int = 0, sequences: int = 0) -> bool:
        limits = self._limits
        return (
            self._steps + steps <= part * limits.max_steps
            and self._sequences + sequences <= part * limits.max_sequences
        )

    def _wait_s(self) -> float:
        wait = self._steps / self._steps_per_s if self._steps_per_s else 1.0
        return min(60.0, max(1.0, wait))


class Outbox:
    """Deliveries on their way; those of one job arrive in the order in which they were put."""

    def __init__(self, *, on_loop: bool = False) -> None:
        self._on_loop = on_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        # What somebody waits for; of a job it comes before anything that is held.
        self._urgent: deque[Delivery] = deque()
        self._held: deque[Delivery] = deque()
        self._held_is_due = False
        self._scheduled = False
        self._published_at = 0.0
        self._wait_s = _TOKENS_WAIT_S

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def put(self, delivery: Delivery) -> None:
        (self._held if delivery.held else self._urgent).append(delivery)

    def pace(self, num_streams: int) -> None:
        self._wait_s = min(_TOKENS_WAIT_S + _EACH_WAITS_S * num_streams, _LONGEST_WAIT_S)

    def publish(self, now: float | None = None) -> None:
        """With ``now`` jobs are left, and what is held waits for a while after the last time."""
        due = now is None or now - self._published_at >= self._wait_s
        if due and now is not None:
            self._published_at = now
        if due and self._held:
            self._held_is_due = True
        if self._urgent or (due and self._held):
            self._wake()

    def _wake(self) -> None:
        if self._scheduled or self._loop is None:
            return
        if self._on_loop:
            self._deliver()
            return
        # Set before the loop is told, cleared by it before it looks: what is put meanwhile is
        # either seen by the callback that is under way or gets one of its own.
        self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed, so nobody waits any more
            logger.debug("deliveries after the loop closed")
            self._urgent.clear()
            self._held.clear()

    def _deliver(self) -> None:
        self._scheduled = False
        due = 0
        if self._held_is_due:
            # Cleared before the look: what is put and published between the two has a callback of its own,
            # which must find it due.
            self._held_is_due = False
            due = len(self._held)
        # Bounded by what was there: the engine may put more than one callback can deliver. Counted after
        # what is held: a job's beginning was put before its end, and is delivered before it.
        for _ in range(len(self._urgent)):
            self._urgent.popleft().deliver()
        for _ in range(due):
            self._held.popleft().deliver()
