"""What the registry is told, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.core.errors import BundleError
from app.engine.load import EngineLoad, TickStats
from app.registry.origin import Origin


class ModelMetrics(Protocol):
    """Counts models and their engines. Called on the event loop, and before it runs."""

    def tick_observer(self, model: str) -> Callable[[TickStats], None]: ...

    def model_loaded(
        self,
        model: str,
        task: str,
        cell: str,
        seconds: float,
        *,
        parameters: int = 0,
        generates: bool = False,
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

    def model_retired(self, model: str) -> None: ...

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How models live.

    Attributes:
        folders: of bundles; the first that has a version counts.
        sources: that are mirrored; their folders come after the others.
        preferred: task to the ``name``, ``name@version`` or ``name@label`` that serves it when a
            request names none.
        chosen: those of ``preferred`` that somebody asked for, which must be there.
        skip_bad: start although bundles are bad.
        poll_s: between looks; 0 looks only when told to.
        refresh_s: between refreshes of the sources; 0 likewise.
        keep_versions: newest versions of each name that are served; 0 serves all.
        drain_s: that running work on a retired version may take.
        command_s: that a command of an administrator may take.
    """

    folders: Sequence[Path]
    sources: Sequence[Source] = ()
    preferred: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    poll_s: float = 2.0
    refresh_s: float = 60.0
    keep_versions: int = 0
    drain_s: float = 60.0
    command_s: float = 120.0

    @property
    def all_folders(self) -> list[Path]:
        return [*self.folders, *(source.folder for source in self.sources)]
