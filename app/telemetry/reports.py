"""What the layers above report or lend, as far as it is used here: their records and stores, by shape."""

from __future__ import annotations

from typing import Protocol


class Times(Protocol):
    """Where a request's time went, in seconds; see ``app.service.Timing``."""

    @property
    def queue_s(self) -> float: ...
    @property
    def compute_s(self) -> float: ...
    @property
    def total_s(self) -> float: ...


class Tick(Protocol):
    """What the engine reports after each tick; see ``app.engine.load.TickStats``."""

    @property
    def batch(self) -> tuple[int, ...]: ...
    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def slots_used(self) -> int: ...


class Load(Protocol):
    """What is queued, running included; see ``app.engine.load.EngineLoad``."""

    @property
    def steps(self) -> int: ...
    @property
    def sequences(self) -> int: ...


class StoreCall(Protocol):
    """What the session store's worker reports; see ``app.sessions.stores.worker.StoreStats``."""

    @property
    def operation(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def ok(self) -> bool: ...
