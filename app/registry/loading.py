"""One bundle on disk becomes a verified deployment with its engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from app.bundle.manifest import Manifest
from app.bundle.reader import Bundle, read_bundle, read_manifest
from app.core.errors import CapacityError, InvalidManifest
from app.core.limits import Limits
from app.core.ports import Submitter
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits, TickStats
from app.engine.pair import EnginePair
from app.registry.look import Found
from app.registry.ports import ModelMetrics
from app.runtime.encoder import EncoderExecutor, rows_of_run
from app.runtime.executor import GraphExecutor
from app.runtime.lanes import Lanes
from app.runtime.session import Device, EncoderSession, GraphSession
from app.runtime.verify import open_encoder, verify_bundle
from app.service.catalog import Deployment
from app.tasks.task import Tasks

NO_ENGINE = cast(Submitter, None)
"""Nobody hands in work before the model is in memory."""
# A tenth of a core is left to it where everything else wants all of them.
_ENCODER_NICE = 10


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What of a version is in memory."""

    deployment: Deployment
    engine: Engine | EnginePair
    limits: Limits
    load_seconds: float

    @property
    def manifest(self) -> Manifest:
        return self.deployment.manifest

    def count(self, metrics: ModelMetrics) -> None:
        manifest, limits = self.manifest, self.limits
        metrics.model_loaded(
            manifest.reference,
            manifest.task,
            manifest.network.cell,
            self.load_seconds,
            parameters=manifest.network.parameters,
            generates=bool(self.deployment.task.frames),
        )
        decoder = self.engine
        if isinstance(self.engine, EnginePair):
            encoder, decoder = self.engine.encoder, self.engine.decoder
            most, name = limits.max_queued_steps, encoder_of(manifest.reference)
            metrics.watch_engine(
                name, lambda: encoder.alive, encoder.load, slots=0, row_bytes=0, max_steps=most
            )
        metrics.watch_engine(
            manifest.reference,
            lambda: decoder.alive,
            decoder.load,
            slots=limits.max_slots,
            row_bytes=4 * manifest.row.size,
            max_steps=limits.max_queued_steps,
        )


@dataclass(slots=True, eq=False)
class ServedVersion:
    """A version that takes requests.

    Attributes:
        loaded: ``None`` while it is not in memory.
        size: bytes that it takes there, about; of one that is loaded on demand.
        failure: why it could not be loaded the last time; not to be tried again before ``retry_at``.
        served: whether requests still find it.
    """

    found: Found
    deployment: Deployment
    loaded: Loaded | None = None
    size: int = 0
    failure: CapacityError | None = None
    retry_at: float = 0.0
    served: bool = True

    @property
    def manifest(self) -> Manifest:
        return self.deployment.manifest

    @property
    def reference(self) -> str:
        return self.deployment.reference

    def uncount(self, metrics: ModelMetrics, event: str) -> None:
        """It is in memory no more: ``retired`` or ``evicted``."""
        metrics.model_retired(self.reference, event)
        if self.manifest.encoder is not None:
            metrics.engine_retired(encoder_of(self.reference))

    def alive(self) -> bool:
        return self.loaded is None or self.loaded.engine.alive

    def used_at(self) -> float:
        """When work was last handed in."""
        return 0.0 if self.loaded is None else self.loaded.engine.used_at

    def busy(self) -> bool:
        """Whether anything runs on it, or is about to."""
        return self.deployment.uses > 0 or (
            self.loaded is not None and self.loaded.engine.load().sequences > 0
        )


def load_bundle(
    path: Path,
    device: Device,
    limits: Limits,
    tasks: Tasks,
    observer: Callable[[str], Callable[[TickStats], None]],
    lanes: Lanes | None = None,
    *,
    on_loop: bool = False,
) -> Loaded:
    """Read, verify and load the bundle in ``path``, which ends in ``NAME/VERSION``.

    Its engine shares ``lanes`` with the others of the process, and turns on the event loop or on a thread
    of its own.

    Raises:
        BundleError: it is not what its manifest says, or lies in the wrong place.
        DeviceUnavailable: the device cannot be used.
    """
    started = time.perf_counter()
    bundle = read_placed(path)
    manifest = bundle.manifest
    task, model = tasks.open(bundle)
    session, encoder = GraphSession(bundle.graph, manifest, device), open_encoder(bundle, device)
    verify_bundle(bundle, session, encoder)
    queue = QueueLimits(max_steps=limits.max_queued_steps, max_sequences=limits.max_queued_sequences)
    decoder = Engine(
        manifest.reference,
        GraphExecutor(session, bundle.start, limits.max_slots, lanes),
        SchedulerLimits(num_slots=limits.max_slots, max_batch=limits.max_batch, max_chunk=limits.max_chunk),
        queue,
        observer(manifest.reference),
        on_loop=on_loop,
    )
    engine = decoder if encoder is None else with_encoder(decoder, encoder, queue, observer)
    deployment = Deployment(manifest, task, model, engine)
    return Loaded(deployment, engine, limits, time.perf_counter() - started)


def with_encoder(
    decoder: Engine,
    session: EncoderSession,
    queue: QueueLimits,
    observer: Callable[[str], Callable[[TickStats], None]],
) -> EnginePair:
    """Put an encoder beside an engine; it has a thread of its own wherever the engine turns.

    Streams want their next token within milliseconds, and an encoder has a whole input to read.
    """
    name = encoder_of(decoder.name)
    scheduling = SchedulerLimits(num_slots=0, max_batch=rows_of_run(session.spec), whole=True)
    engine = Engine(name, EncoderExecutor(session), scheduling, queue, observer(name), nice=_ENCODER_NICE)
    return EnginePair(engine, decoder)


def encoder_of(reference: str) -> str:
    """The name of its encoder in metrics and logs."""
    return f"{reference}/encoder"


def read_placed(path: Path) -> Bundle:
    """The bundle in ``path``, whose last two parts must be its name and version; raises BundleError."""
    bundle = read_bundle(path)
    _check_place(bundle.manifest, path)
    return bundle


def read_standing(path: Path, tasks: Tasks) -> Deployment:
    """What the manifest in ``path`` says, to be loaded later; raises BundleError."""
    manifest = read_manifest(path)
    _check_place(manifest, path)
    task = tasks.of(manifest)
    manifest.spec_as(task.spec)
    return Deployment(manifest, task, None, NO_ENGINE)


def _check_place(manifest: Manifest, path: Path) -> None:
    if (manifest.name, manifest.version) != (path.parent.name, path.name):
        raise InvalidManifest(f"its manifest says {manifest.reference}, which is not where it lies")
