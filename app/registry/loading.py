"""One bundle on disk becomes a verified deployment with its engine.

models/NAME/VERSION --read, check sums--> Bundle --load--> GraphSession --replay golden--> Deployment
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import Manifest
from app.bundle.reader import Bundle, read_bundle
from app.core.errors import InvalidManifest
from app.core.limits import Limits
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits, TickStats
from app.runtime.executor import GraphExecutor
from app.runtime.lanes import Lanes
from app.runtime.session import Device, GraphSession
from app.runtime.verify import verify_bundle
from app.service.catalog import Deployment
from app.tasks.task import Tasks

TickObserver = Callable[[str], Callable[[TickStats], None]]
"""Gives each model's engine, by ``name@version``, the callback for its ticks."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """One model version, ready to be started."""

    deployment: Deployment
    engine: Engine
    load_seconds: float

    @property
    def manifest(self) -> Manifest:
        return self.deployment.manifest


def load_bundle(
    path: Path,
    device: Device,
    limits: Limits,
    tasks: Tasks,
    observer: TickObserver,
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
    session = GraphSession(bundle.graph, manifest, device)
    verify_bundle(bundle, session)
    engine = Engine(
        manifest.reference,
        GraphExecutor(session, bundle.start, limits.max_slots, lanes),
        SchedulerLimits(num_slots=limits.max_slots, max_batch=limits.max_batch, max_chunk=limits.max_chunk),
        QueueLimits(max_steps=limits.max_queued_steps, max_sequences=limits.max_queued_sequences),
        observer(manifest.reference),
        on_loop=on_loop,
    )
    deployment = Deployment(manifest, task, model, engine)
    return Loaded(deployment, engine, time.perf_counter() - started)


def read_placed(path: Path) -> Bundle:
    """The bundle in ``path``, whose last two parts must be its name and version.

    Raises:
        BundleError: it is not what its manifest says, or lies in the wrong place.
    """
    bundle = read_bundle(path)
    manifest = bundle.manifest
    if (manifest.name, manifest.version) != (path.parent.name, path.name):
        raise InvalidManifest(f"its manifest says {manifest.reference}, which is not where it lies")
    return bundle
