"""From the event loop to the engine's thread: new jobs and aborts, within the queue's bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from app.core.errors import Draining, EngineDead, Overloaded
from app.engine.job import Job
from app.engine.load import EngineLoad, QueueLimits

Command = Job | int
"""A new job, or the number of one that is given up."""

_DEAD = "this model has stopped and needs the server to be restarted"


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
        self._draining = False
        self._stopping = False
        self._dead = False

    @property
    def dead(self) -> bool:
        """Whether :meth:`die` was called."""
        return self._dead

    def load(self) -> EngineLoad:
        """What is queued now, running included."""
        with self._wake:
            return EngineLoad(self._steps, self._sequences)

    def submit(self, steps: int, sequences: int, num_jobs: int, make: Callable[[int], Sequence[Job]]) -> None:
        """Queue jobs, all or none.

        Args:
            steps: of all of them together, at most.
            sequences: of all of them together.
            num_jobs: how many numbers they need.
            make: the jobs, told their first number.

        Raises:
            Overloaded, Draining, EngineDead: they were not queued.
        """
        with self._wake:
            self._check(steps, sequences)
            self._commands.extend(make(self._number))
            self._number += num_jobs
            self._steps += steps
            self._sequences += sequences
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
            self._steps -= steps
            self._sequences -= sequences
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

    def _check(self, steps: int, sequences: int) -> None:
        if self._dead:
            raise EngineDead(_DEAD)
        if self._draining:
            raise Draining("the server is shutting down", retry_after_s=1.0)
        over = self._steps + steps > self._limits.max_steps
        if over or self._sequences + sequences > self._limits.max_sequences:
            wait = self._steps / self._steps_per_s if self._steps_per_s else 1.0
            raise Overloaded(
                "the model's queue is full; try again later", retry_after_s=min(60.0, max(1.0, wait))
            )
