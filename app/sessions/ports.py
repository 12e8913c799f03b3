"""What the session service asks of the store, from the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.sessions.stored import Snapshot, Stored, Write, Written


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
