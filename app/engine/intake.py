"""From the event loop to the engine's turns: new jobs and jobs given up, within the queue's bounds."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from app.core.errors import Draining, EngineDead, Overloaded
from app.engine.job import Job
from app.engine.load import EngineLoad, QueueLimits

_HIGH_WATER = 0.99
"""Above this part of a limit, a refusal marks the queue as full; what is merely too large does not."""
_LOW_WATER = 0.75
"""Below this part of both limits, a full queue takes work again."""
DEAD = "this model has stopped and needs the server to be restarted"


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
        """Whether there is something to take; read without the lock."""
        return bool(self._new or self._given_up)

    @property
    def full_for_s(self) -> float | None:
        """While the queue is full, about how many seconds of work it holds; read without the lock.

        It is full from the first refusal above the high-water mark until it is below the low-water mark,
        so that most of a rush can be refused before anything is read of it.
        """
        return self._wait_s() if self._full else None

    def load(self) -> EngineLoad:
        with self._lock:
            return EngineLoad(self._steps, self._sequences)

    def reserve(self, steps: int, sequences: int) -> None:
        """Book what is about to be queued, if there is room for all of it.

        Raises:
            Overloaded, Draining, EngineDead: nothing was booked.
        """
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
        """Queue jobs that are booked.

        Raises:
            Draining, EngineDead: the engine has ended since, and nothing is booked any more.
        """
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
