"""From the event loop to the engine's turns: new jobs and aborts, within the queue's bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from app.core.errors import Draining, EngineDead, Overloaded
from app.engine.job import Job
from app.engine.load import EngineLoad, QueueLimits

Command = Job | int
"""A new job, or the number of one that is given up."""

_FULL = 0.99
"""From this part of its bounds on a queue that refuses something is full; smaller things fit below."""
_ROOM_AGAIN = 0.75
"""A queue that was full takes work again at this part of its bounds."""
DEAD = "this model has stopped and needs the server to be restarted"


class Intake:
    """The queue's front, shared by both threads and guarded by its condition.

    Args:
        limits: of the queue.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._wake = threading.Condition()
        self._commands: list[Command] = []
        self._number = 0
        self._steps = 0
        self._sequences = 0
        self._steps_per_s = 0.0
        self._full = False
        self._draining = False
        self._stopping = False
        self._dead = False

    @property
    def dead(self) -> bool:
        """Whether :meth:`die` was called."""
        return self._dead

    @property
    def waiting(self) -> bool:
        """Whether there is a command to take."""
        return bool(self._commands)

    @property
    def full_for_s(self) -> float | None:
        """While the queue is full, about how many seconds of work it holds; read without the lock.

        It is full from the first refusal near its bounds until it is well below them, so that most of a
        rush can be refused before anything is read of it.
        """
        return self._wait_s() if self._full else None

    def load(self) -> EngineLoad:
        """What is queued now, running included."""
        with self._wake:
            return EngineLoad(self._steps, self._sequences)

    def reserve(self, steps: int, sequences: int) -> None:
        """Book what is about to be queued, if there is room for all of it.

        Args:
            steps: of all sequences together, at most.
            sequences: how many.

        Raises:
            Overloaded, Draining, EngineDead: nothing was booked.
        """
        with self._wake:
            self._check(steps, sequences)
            self._steps += steps
            self._sequences += sequences

    def put(self, num_jobs: int, make: Callable[[int], Sequence[Job]]) -> None:
        """Queue jobs that are booked.

        Args:
            num_jobs: how many numbers they need.
            make: the jobs, told their first number.

        Raises:
            Draining, EngineDead: the engine has ended since, and nothing is booked any more.
        """
        with self._wake:
            if self._dead:
                raise Draining("the server is shutting down") if self._stopping else EngineDead(DEAD)
            self._commands.extend(make(self._number))
            self._number += num_jobs
            self._wake.notify()

    def abort(self, numbers: Iterable[int]) -> None:
        """Give jobs up; unknown numbers are passed over."""
        with self._wake:
            self._commands.extend(numbers)
            self._wake.notify()

    def take(self, wait_s: float = 0.0) -> tuple[list[Command], bool]:
        """Commands since the last call, and whether the engine is to go on.

        Args:
            wait_s: how long to wait for the first one.
        """
        if not wait_s and not self._commands:
            # Safe without the lock: a command that is missed now is taken at the next tick.
            return [], not self._stopping
        with self._wake:
            if wait_s and not self._commands and not self._stopping:
                self._wake.wait(wait_s)
            commands, self._commands = self._commands, []
            return commands, not self._stopping

    def settle(self, steps: int, sequences: int, rate: float | None = None) -> int:
        """Steps were taken or given up and sequences have ended.

        Args:
            rate: steps a second of the tick, if it ran any.

        Returns:
            The steps still queued.
        """
        with self._wake:
            if rate is not None:
                self._steps_per_s = 0.9 * self._steps_per_s + 0.1 * rate if self._steps_per_s else rate
            if not self._dead:  # otherwise nothing is booked any more
                self._steps -= steps
                self._sequences -= sequences
            self._full = self._full and not self._has_room(_ROOM_AGAIN)
            return self._steps

    def drain(self) -> None:
        """Refuse new work from now on."""
        with self._wake:
            self._draining = True

    def stop(self) -> None:
        """Refuse new work and let the engine stop after its present tick."""
        with self._wake:
            self._draining = self._stopping = True
            self._wake.notify()

    def die(self) -> list[Command]:
        """Refuse everything from now on; what was queued and not taken."""
        with self._wake:
            self._dead = True
            commands, self._commands = self._commands, []
            return commands

    def clear(self) -> None:
        """Nothing is queued any more."""
        with self._wake:
            self._steps = self._sequences = 0
            self._full = False

    def _check(self, steps: int, sequences: int) -> None:
        if self._dead:
            raise EngineDead(DEAD)
        if self._draining:
            raise Draining("the server is shutting down", retry_after_s=1.0)
        if self._full or not self._has_room(1.0, steps, sequences):
            # What is too large for the room that is left does not close it for the others.
            self._full = not self._has_room(_ROOM_AGAIN if self._full else _FULL)
            raise Overloaded("the model's queue is full; try again later", retry_after_s=self._wait_s())

    def _has_room(self, part: float, steps: int = 0, sequences: int = 0) -> bool:
        most = self._limits
        return (
            self._steps + steps <= part * most.max_steps
            and self._sequences + sequences <= part * most.max_sequences
        )

    def _wait_s(self) -> float:
        wait = self._steps / self._steps_per_s if self._steps_per_s else 1.0
        return min(60.0, max(1.0, wait))
