"""What the layers above report or lend, as far as it is used here: their records and stores, by shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.sessions.stored import Snapshot, Stored, Write, Written


class Times(Protocol):
    """Where a request's time went, in seconds; see ``app.service.Timing``."""

    @property
    def queue_s(self) -> float: ...  # noqa: D102  documented there
    @property
    def compute_s(self) -> float: ...  # noqa: D102
    @property
    def total_s(self) -> float: ...  # noqa: D102


class Tick(Protocol):
    """What the engine reports after each tick; see ``app.engine.load.TickStats``."""

    @property
    def batch(self) -> tuple[int, ...]: ...  # noqa: D102  documented there
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def slots_used(self) -> int: ...  # noqa: D102


class Load(Protocol):
    """What is queued, running included; see ``app.engine.load.EngineLoad``."""

    @property
    def steps(self) -> int: ...  # noqa: D102  documented there
    @property
    def sequences(self) -> int: ...  # noqa: D102


class StoreCall(Protocol):
    """What the session store's worker reports; see ``app.sessions.stores.worker.StoreStats``."""

    @property
    def operation(self) -> str: ...  # noqa: D102  documented there
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def ok(self) -> bool: ...  # noqa: D102


class AsyncStore(Protocol):
    """A session store on the event loop; see ``app.sessions.ports.AsyncStore``."""

    async def get(self, ids: Sequence[str]) -> list[Stored | None]: ...  # noqa: D102  documented there
    async def write(self, writes: Sequence[Write]) -> list[Written]: ...  # noqa: D102
    async def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]: ...  # noqa: D102
    async def snapshots(self, id: str) -> list[Snapshot]: ...  # noqa: D102
    async def snapshot(self, id: str, name: str) -> Snapshot | None: ...  # noqa: D102
    async def due(self, now: float, limit: int) -> list[tuple[str, Stored]]: ...  # noqa: D102
    async def remove(self, ids: Sequence[tuple[str, int]]) -> None: ...  # noqa: D102
