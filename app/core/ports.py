"""What the layers ask of each other, as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.plan import Plan, PlanResult
from app.core.sequence import Event, SequenceRequest


class Executor(Protocol):
    """Owns the rows and runs the graph; called by one thread only."""

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Prepare a slot for a new sequence."""
        ...

    def execute(self, plan: Plan) -> PlanResult:
        """Advance the planned slots.

        A group whose run fails is reported in the result; it never raises for one group.
        """
        ...

    def row(self, slot: int) -> NDArray[np.float32]:
        """A copy of a slot's row, ``[S]``."""
        ...

    def release(self, slot: int) -> None:
        """Forget what a slot held."""
        ...


class Ticket(Protocol):
    """The reader's end of sequences that were submitted together."""

    async def events(self) -> list[tuple[int, Event]]:
        """Everything that happened since the last call: (index in the submission, event).

        Empty only after :meth:`wake`. Each index gets exactly one terminal event, its last.

        Raises:
            DeadlineExceeded: nothing came long after the deadline (the engine hangs).
        """
        ...

    def wake(self) -> None:
        """End the present or next wait in :meth:`events` early."""
        ...

    def cancel(self) -> None:
        """Give the sequences up; they leave the batch at the next step. Harmless when they have ended."""
        ...


class Submitter(Protocol):
    """Where sequences are handed in."""

    @property
    def alive(self) -> bool:
        """Whether sequences handed in are worked on at all."""
        ...

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> Ticket:
        """Queue sequences, all or none.

        Args:
            requests: at least one.
            deadline: ``time.monotonic()`` at which they are given up.

        Raises:
            Overloaded: the queue cannot take all of them.
            Draining: the engine takes no new work.
            EngineDead: the engine's thread has ended.
        """
        ...
