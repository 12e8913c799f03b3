"""Which bundles are being served: the models folder becomes verified, loaded deployments.

models/NAME/VERSION --read, check sums--> Bundle --load--> GraphSession --replay golden--> Deployment
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import ForecastSpec, Manifest
from app.bundle.reader import Bundle, find_bundles, read_bundle
from app.bundle.tokens import TextCodec
from app.core.errors import BundleError, ConfigurationError, InvalidManifest
from app.engine.engine import Engine
from app.engine.load import QueueLimits, TickStats
from app.engine.scheduler import SchedulerLimits
from app.runtime.executor import GraphExecutor
from app.runtime.session import Device, GraphSession
from app.runtime.verify import verify_bundle
from app.schemas.limits import Limits
from app.service import Deployment
from app.tasks.forecast import ForecastTask
from app.tasks.forecast_stream import ForecastStream
from app.tasks.generate import GenerateTask
from app.tasks.sentiment import SentimentTask
from app.tasks.text_stream import GenerateStream, SentimentStream


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """One model version, ready to be started."""

    deployment: Deployment
    engine: Engine
    load_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What became of one bundle: a manifest and the parity found, or an error."""

    folder: Path
    manifest: Manifest | None = None
    difference: float | None = None
    error: BundleError | None = None


def load_models(
    folder: Path,
    *,
    device: Device,
    limits: Limits,
    observer: Callable[[str], Callable[[TickStats], None]],
    skip_bad: bool = False,
    report: Callable[[Path, BundleError], None] = lambda path, error: None,
) -> list[Loaded]:
    """Read, verify and load every bundle, versions of a name in ascending order.

    Args:
        folder: of the bundles, ``NAME/VERSION`` below it.
        device: where the graphs run.
        limits: of the engines and the tasks.
        observer: gives each model's engine the callback for its ticks.
        skip_bad: pass a bad bundle over instead of raising.
        report: told of each bundle that was passed over.

    Raises:
        BundleError: the folder does not exist, or a bundle is bad; names it.
        ConfigurationError: the folder holds no bundle.
        DeviceUnavailable: the device cannot be used.
    """
    found = find_bundles(folder)
    if not found:
        raise ConfigurationError(
            f"the models folder {str(folder)!r} holds no bundle (models/NAME/VERSION/manifest.json); "
            "rnnserve-train makes them"
        )
    loaded: list[Loaded] = []
    for path in sorted(found, key=lambda path: (path.parent.name, version_key(path.name))):
        try:
            loaded.append(_load(path, device, limits, observer))
        except BundleError as error:
            named = type(error)(f"bundle {_name(path)}: {error.message}")
            if not skip_bad:
                raise named from error
            report(path, named)
    return loaded


def inspect_models(folder: Path, device: Device = "cpu") -> list[Inspection]:
    """Verify every bundle on its own.

    Raises:
        BundleError: the folder does not exist.
        DeviceUnavailable: the device cannot be used.
    """
    inspections: list[Inspection] = []
    for path in sorted(find_bundles(folder), key=lambda path: (path.parent.name, version_key(path.name))):
        try:
            bundle = _read(path)
            session = GraphSession(bundle.graph, bundle.manifest, device)
            inspections.append(Inspection(path, bundle.manifest, verify_bundle(bundle, session)))
        except BundleError as error:
            inspections.append(Inspection(path, error=error))
    return inspections


def default_models(loaded: Sequence[Loaded], preferred: Mapping[str, str]) -> dict[str, str]:
    """Task to the ``name@version`` that answers requests which name no model.

    The preferred name where it is served; otherwise the first name in alphabetical order. A name
    alone means its newest version.
    """
    chosen: dict[str, str] = {}
    manifests = [one.deployment.manifest for one in loaded]
    for task in sorted({manifest.task for manifest in manifests}):
        serving = [manifest for manifest in manifests if manifest.task == task]
        wanted = preferred.get(task)
        named = [one for one in serving if wanted in (one.name, one.reference)]
        pool = named or [one for one in serving if one.name == min(other.name for other in serving)]
        chosen[task] = pool[-1].reference
    return chosen


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts versions as people count: 2 before 10, 1.2 before 1.10."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def _load(
    path: Path, device: Device, limits: Limits, observer: Callable[[str], Callable[[TickStats], None]]
) -> Loaded:
    started = time.perf_counter()
    bundle = _read(path)
    manifest = bundle.manifest
    session = GraphSession(bundle.graph, manifest, device)
    verify_bundle(bundle, session)
    engine = Engine(
        manifest.reference,
        GraphExecutor(session, bundle.start, limits.max_slots),
        SchedulerLimits(num_slots=limits.max_slots, max_batch=limits.max_batch, max_chunk=limits.max_chunk),
        QueueLimits(max_steps=limits.max_queued_steps, max_sequences=limits.max_queued_sequences),
        observer(manifest.reference),
    )
    deployment = Deployment(manifest, *task_of(bundle, limits), engine)
    return Loaded(deployment, engine, time.perf_counter() - started)


def _read(path: Path) -> Bundle:
    bundle = read_bundle(path)
    manifest = bundle.manifest
    if (manifest.name, manifest.version) != (path.parent.name, path.name):
        raise InvalidManifest(f"its manifest says {manifest.reference}, which is not where it lies")
    return bundle


def task_of(
    bundle: Bundle, limits: Limits
) -> tuple[ForecastTask | SentimentTask | GenerateTask, ForecastStream | SentimentStream | GenerateStream]:
    """The request side and the session side of a bundle's task.

    Raises:
        InvalidManifest: tokenizer and network do not fit each other.
    """
    manifest = bundle.manifest
    if isinstance(manifest.spec, ForecastSpec):
        return ForecastTask(manifest, limits), ForecastStream(manifest)
    if bundle.tokenizer is None:
        raise InvalidManifest("a text model needs a tokenizer")
    codec = TextCodec(bundle.tokenizer)
    if codec.size > manifest.spec.vocabulary:
        raise InvalidManifest(
            f"its tokenizer has {codec.size} tokens, its network only {manifest.spec.vocabulary}"
        )
    if manifest.task == "sentiment":
        return SentimentTask(manifest, codec, limits), SentimentStream(manifest, codec, limits)
    return GenerateTask(manifest, codec, limits), GenerateStream(manifest, codec, limits)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
