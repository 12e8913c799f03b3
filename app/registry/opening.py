"""A registry of the settings, counted by the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app.core.ports import Submitter
from app.registry.loading import Loaded, load_bundle
from app.registry.ports import ModelMetrics, Source
from app.registry.registry import ModelRegistry
from app.registry.unloaded import Siblings
from app.runtime.cores import usable_cores
from app.runtime.lanes import Lanes
from app.settings import Settings


def open_registry(
    settings: Settings,
    metrics: ModelMetrics,
    siblings: Siblings | None = None,
    wrap: Callable[[Submitter, str], Submitter] | None = None,
    sources: Sequence[Source] = (),
) -> ModelRegistry:
    """Load the models that the settings name; blocks.

    ``wrap`` stands in for a model's engine, given with ``name@version``, wherever requests use it.

    Raises:
        FetchFailed: a place on the network does not answer, and nothing was copied before.
        BundleError: a folder does not exist, or a bundle is bad and bad ones are not skipped.
        ConfigurationError: there is no bundle.
        DeviceUnavailable: the device cannot be used.
    """
    limits, cores = settings.limits, usable_cores()
    lanes = Lanes(settings.lanes or max(1, cores // settings.workers))
    # A graph on a GPU keeps its thread waiting, not a core.
    fits = settings.workers >= cores and settings.device == "cpu"
    on_loop = settings.engines == "loop" or (settings.engines == "auto" and fits)

    def load(path: Path) -> Loaded:
        loaded = load_bundle(
            path, settings.device, limits, settings.tasks, metrics.tick_observer, lanes, on_loop=on_loop
        )
        if wrap is None:
            return loaded
        engine = wrap(loaded.deployment.engine, loaded.manifest.reference)
        return replace(loaded, deployment=replace(loaded.deployment, engine=engine))

    registry = ModelRegistry(settings, load, metrics, siblings, sources)
    registry.open()
    return registry
