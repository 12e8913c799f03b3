"""What sessions ask of a store, of its worker, and of whoever counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.sessions.stored import Snapshot, Stored, Write, Written


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


class AsyncStore(Protocol):
    """A session store behind its worker; ``app.sessions.stores.worker.StoreWorker`` is one.

    Raises (every method):
        StoreUnavailable: the store does not answer.
    """

    async def get(self, ids: Sequence[str]) -> list[Stored | None]:
        """What is held under each id, in order."""
        ...

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        """Apply changes, each by itself; the outcomes in order."""
        ...

    async def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        """Live sessions with an id greater than ``after``, in order of id."""
        ...

    async def snapshots(self, id: str) -> list[Snapshot]:
        """The snapshots of a session, oldest first, without their records."""
        ...

    async def snapshot(self, id: str, name: str) -> Snapshot | None:
        """One snapshot with its record."""
        ...

    async def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        """Records that may have expired by ``now``."""
        ...

    async def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        """Forget records that still have the given revision."""
        ...


class SessionObserver(Protocol):
    """Whoever counts sessions; see ``app.telemetry``."""

    def session(self, event: str, count: int = 1) -> None:
        """``created``, ``forked``, ``closed``, ``expired``, ``conflict``, ``replayed``, ``rewound``,
        ``migrated``, ``snapshot``, ``exported``, ``imported``, ``quarantined``, ``corrupt`` or ``refused``
        happened.
        """
        ...

    def session_calls(self, ok: int, failed: Sequence[str], seconds: float) -> None:
        """Step calls that came together ended: how many well, and the outcomes of the others."""
        ...

    def session_steps(self, model: str, count: int) -> None:
        """Steps were applied and stored."""
        ...
