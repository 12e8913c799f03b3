"""A registry of the settings, counted by the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from app.core.limits import Limits
from app.core.ports import Submitter
from app.engine.load import EngineLoad, TickStats
from app.registry.loading import Loaded, load_bundle
from app.registry.options import RegistryOptions, Source
from app.registry.registry import ModelRegistry
from app.registry.unloaded import Siblings
from app.runtime.cores import usable_cores
from app.runtime.lanes import Lanes
from app.settings import Settings


class ModelMetrics(Protocol):
    """Whoever counts models and their engines; see ``app.telemetry.metrics``."""

    def tick_observer(self, model: str) -> Callable[[TickStats], None]:
        """A callback for one engine."""
        ...

    def model_loaded(
        self,
        model: str,
        task: str,
        cell: str,
        seconds: float,
        *,
        parameters: int = 0,
        generates: bool = False,
    ) -> None:
        """A bundle was verified and is served."""
        ...

    def watch_engine(
        self,
        model: str,
        alive: Callable[[], bool],
        load: Callable[[], EngineLoad],
        *,
        slots: int = 0,
        row_bytes: int = 0,
        max_steps: int = 0,
    ) -> None:
        """Report an engine as it is at each scrape."""
        ...

    def model_retired(self, model: str) -> None:
        """A model is served no more."""
        ...

    def model_event(self, event: str) -> None:
        """Something happened to a bundle."""
        ...

    def bad_models(self, count: int) -> None:
        """So many bundles are bad."""
        ...


def open_registry(
    settings: Settings,
    metrics: ModelMetrics,
    siblings: Siblings | None = None,
    wrap: Callable[[Submitter, str], Submitter] | None = None,
    sources: Sequence[Source] = (),
) -> ModelRegistry:
    """Load the models that the settings name; blocks.

    Args:
        settings: all of them.
        metrics: counts.
        siblings: the other workers of the server, where there are some.
        wrap: stands in for a model's engine, given with ``name@version``, wherever requests use it.
        sources: places that are mirrored into folders of this machine.

    Raises:
        FetchFailed: a place on the network does not answer, and nothing was copied before.
        BundleError: a folder does not exist, or a bundle is bad and bad ones are not skipped.
        ConfigurationError: there is no bundle.
        DeviceUnavailable: the device cannot be used.
    """
    limits, tasks = settings.limits, settings.tasks
    options = RegistryOptions(
        folders=settings.model_folders,
        sources=sources,
        preferred=settings.default_models,
        chosen=settings.chosen_models,
        skip_bad=settings.skip_bad_models,
        poll_s=settings.models_poll_s,
        refresh_s=settings.models_refresh_s,
        keep_versions=settings.keep_versions,
        drain_s=settings.model_drain_s,
    )

    cores = usable_cores()
    lanes = Lanes(settings.lanes or max(1, cores // settings.workers))
    # A graph on a GPU keeps its thread waiting, not a core.
    fits = settings.workers >= cores and settings.device == "cpu"
    on_loop = settings.engines == "loop" or (settings.engines == "auto" and fits)

    def load(path: Path) -> Loaded:
        loaded = load_bundle(
            path, settings.device, limits, tasks, metrics.tick_observer, lanes, on_loop=on_loop
        )
        if wrap is None:
            return loaded
        engine = wrap(loaded.deployment.engine, loaded.manifest.reference)
        return replace(loaded, deployment=replace(loaded.deployment, engine=engine))

    registry = ModelRegistry(options, load, _Counted(metrics, limits), siblings)
    registry.open()
    return registry


@dataclass(frozen=True, slots=True)
class _Counted:
    """What the registry tells, in the metrics' words."""

    metrics: ModelMetrics
    limits: Limits

    def loaded(self, model: Loaded) -> None:
        manifest = model.manifest
        self.metrics.model_loaded(
            manifest.reference,
            manifest.task,
            manifest.network.cell,
            model.load_seconds,
            parameters=manifest.network.parameters,
            generates=bool(model.deployment.task.frames),
        )
        engine = model.engine
        self.metrics.watch_engine(
            manifest.reference,
            lambda: engine.alive,
            engine.load,
            slots=self.limits.max_slots,
            row_bytes=4 * manifest.row.size,
            max_steps=self.limits.max_queued_steps,
        )

    def retired(self, reference: str) -> None:
        self.metrics.model_retired(reference)

    def event(self, event: str) -> None:
        self.metrics.model_event(event)

    def bad(self, count: int) -> None:
        self.metrics.bad_models(count)
