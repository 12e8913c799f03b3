"""What the layers ask of each other, as protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.plan import BlockOutput, Plan, PlanResult
from app.core.sequence import BlockRequest, BlockResult, Event, SequenceRequest
from app.sessions.stored import Snapshot, Stored, Write, Written


class Executor(Protocol):
    """Owns the rows and runs the graph; called from its engine's turns only."""

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Prepare a slot for a new sequence."""
        ...

    def execute(self, plan: Plan) -> PlanResult:
        """Advance what is planned.

        A run that fails is reported in the result; it never raises for one group.
        """
        ...

    def row(self, slot: int) -> NDArray[np.float32]:
        """A copy of a slot's row, ``[S]``."""
        ...

    def release(self, slot: int) -> None:
        """Forget what a slot held."""
        ...

    def open_block(self, number: int, request: BlockRequest) -> None:
        """Prepare a block; its number is given by the caller and used once."""
        ...

    def take_block(self, number: int) -> BlockOutput:
        """What a block has brought; it is forgotten."""
        ...

    def drop_block(self, number: int) -> None:
        """Forget a block, which may be unknown."""
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

    @property
    def full_for_s(self) -> float | None:
        """About how long the queue will take nothing; ``None`` when it does. Costs next to nothing."""
        ...

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> Ticket:
        """Queue sequences, all or none.

        Args:
            requests: at least one.
            deadline: ``time.monotonic()`` at which they are given up.

        Raises:
            Overloaded: the queue cannot take all of them.
            Draining: the engine takes no new work.
            EngineDead: the engine has ended.
        """
        ...

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        """Queue a block; the future is cancelled to give it up.

        Raises (at once):
            Overloaded, Draining, EngineDead: as :meth:`submit`.

        Raises (from the future):
            DeadlineExceeded, Draining, EngineDead: nothing of the block was done.
        """
        ...


class SessionStore(Protocol):
    """Holds sessions. Called by one thread at a time; every call may block and has a deadline of its own.

    Raises (every method):
        StoreUnavailable: the store cannot be reached or does not answer; whether a change was
            applied is not known, and sending it again is safe.
        ValueError: an id or a snapshot's name that is written does not have 1 to 200 bytes of
            UTF-8 without NUL, or a revision does not grow; nothing of the group is written.
    """

    @property
    def max_sessions(self) -> int:
        """Live sessions it takes."""
        ...

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        """What is held under each id, in order."""
        ...

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Apply changes as one group, each by itself; the outcomes in order.

        When this returns, applied changes survive what the store's durability promises. An id
        appears at most once in a group.
        """
        ...

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        """Up to ``limit`` live sessions with an id greater than ``after``, in order of id."""
        ...

    def snapshots(self, id: str) -> list[Snapshot]:
        """The snapshots of a session, oldest first, without their records."""
        ...

    def snapshot(self, id: str, name: str) -> Snapshot | None:
        """One snapshot with its record."""
        ...

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        """Up to ``limit`` records, live or not, that may have expired by ``now``.

        A candidate whose time has come later than first planned is planned anew and not
        returned (second chance), so that a step need not touch the plan. One call plans a
        bounded number anew: when it returns fewer than ``limit``, a later call may find more.
        What it returned is returned again until it is written with a later time, or removed.
        """
        ...

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        """Forget records and their snapshots wholly, each only if it still has the given revision."""
        ...

    def count(self) -> int:
        """Live sessions held."""
        ...

    def check(self) -> None:
        """Return when the store answers."""
        ...

    def close(self) -> None:
        """Release what it holds open."""
        ...
