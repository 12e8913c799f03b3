"""What the registry is given: places on the network, and whom it tells its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from app.core.errors import BundleError
from app.engine.load import EngineLoad, TickStats
from app.registry.origin import Origin


class ModelMetrics(Protocol):
    """Counts models and their engines. Called on the event loop, and before it runs."""

    def tick_observer(self, model: str) -> Callable[[TickStats], None]: ...

    def model_loaded(
        self, model: str, task: str, cell: str, seconds: float, *, parameters: int, generates: bool
    ) -> None: ...

    def watch_engine(
        self,
        model: str,
        alive: Callable[[], bool],
        load: Callable[[], EngineLoad],
        *,
        slots: int,
        row_bytes: int,
        max_steps: int,
    ) -> None: ...

    def model_retired(self, model: str, event: str = "retired") -> None: ...

    def engine_retired(self, model: str) -> None: ...

    def watch_memory(self, count: Callable[[], int], used: Callable[[], int], limit: int) -> None:
        """Models are loaded on demand: how many are in memory, and bytes that they take and may take."""

    def model_event(self, event: str) -> None: ...

    def bad_models(self, count: int) -> None: ...


class Source(Protocol):
    """A place whose bundles are mirrored into a folder."""

    address: str
    folder: Path
    failed: Mapping[str, BundleError]

    def refresh(self, *, at_once: bool = False) -> None:
        """Make the folder what the place is; blocks.

        What became of single bundles is in ``failed``, by ``name@version``; ``at_once`` tries
        them again however short ago they failed.

        Raises:
            FetchFailed: the place does not answer, or holds no bundle; the folder stays as it was.
            BundleError: the folder cannot be written.
        """

    def stop(self) -> None:
        """End a refresh that runs in another thread soon; later ones do nothing."""


class RemotePlaces(Protocol):
    """The package ``app.remote``, where it is there."""

    def open_source(self, address: str, cache: Path, max_bytes: int, seconds: float) -> Source: ...

    def open_origin(self, address: str, max_bytes: int, seconds: float) -> AbstractContextManager[Origin]: ...
