"""The composition root: settings in, an application with loaded models out."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from app.api.application import assemble
from app.api.edge import Edge, SessionEdge
from app.api.lifecycle import Lifecycle
from app.core.errors import BundleError
from app.registry import Loaded, default_models, load_models
from app.service import InferenceService, SessionService
from app.service.housekeeping import Housekeeper
from app.sessions.keys import state_secret
from app.sessions.portable import StateSigner
from app.sessions.stores import open_store
from app.sessions.worker import StoreWorker
from app.settings import Settings
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# Sockets close themselves when their last generation has ended; this bounds the wait for that.
_SOCKETS_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Application:
    """The application, and what its server needs to know of it.

    Attributes:
        asgi: what a server runs.
        drain: lets running work end, then stops the engines.
        loaded: the models, versions of a name in ascending order.
        defaults: task to the ``name@version`` that serves it.
    """

    asgi: FastAPI
    drain: Callable[[], Awaitable[None]]
    loaded: Sequence[Loaded]
    defaults: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Sessions:
    """What sessions consist of."""

    service: SessionService
    store: StoreWorker

    def edge(self, settings: Settings) -> SessionEdge:
        """What the routes use of it."""
        return SessionEdge(self.service, settings.session_limits, lambda: self.store.healthy)


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application of these settings, for any ASGI server.

    Raises:
        BundleError: a bundle is bad.
        ConfigurationError: there is no bundle.
        DeviceUnavailable: the device cannot be used.
    """
    return compose(settings).asgi


def compose(settings: Settings) -> Application:
    """Load the models and put everything together; raises as :func:`create_app`."""
    metrics = Metrics()
    limits = settings.limits
    loaded = load_models(
        settings.models,
        device=settings.device,
        limits=limits,
        observer=metrics.tick_observer,
        skip_bad=settings.skip_bad_models,
        report=_report_bad,
    )
    for one in loaded:
        manifest = one.deployment.manifest
        metrics.model_loaded(manifest.reference, manifest.task, manifest.network.cell, one.load_seconds)
        metrics.watch_engine(manifest.reference, _alive(one), one.engine.load)
    defaults = default_models(loaded, settings.default_models)
    lifecycle = Lifecycle()
    inference = InferenceService([one.deployment for one in loaded], defaults, limits, metrics)
    sessions = _open_sessions(settings, inference, metrics)
    edge = Edge(
        service=inference,
        limits=limits,
        metrics=metrics,
        lifecycle=lifecycle,
        alive={one.deployment.manifest.reference: _alive(one) for one in loaded},
        sessions=None if sessions is None else sessions.edge(settings),
    )

    async def drain() -> None:
        lifecycle.drain()
        engines = [one.engine for one in loaded]
        finished = await asyncio.gather(*(engine.drain(settings.grace_s) for engine in engines))
        if not all(finished):
            logger.warning("work was still running after %g s and has been ended", settings.grace_s)
        # Closing joins a thread that delivers its last events through this loop, so it must not block it.
        await asyncio.gather(*(asyncio.to_thread(engine.close) for engine in engines))
        until = asyncio.get_running_loop().time() + _SOCKETS_S
        while lifecycle.num_sockets and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for one in loaded:
            one.engine.start(asyncio.get_running_loop())
        try:
            async with _running(sessions, metrics):
                yield
        finally:
            for one in loaded:
                await asyncio.to_thread(one.engine.close)

    return Application(assemble(edge, version=version(), lifespan=lifespan), drain, loaded, defaults)


def _open_sessions(settings: Settings, inference: InferenceService, metrics: Metrics) -> _Sessions | None:
    address = settings.session_store
    if address is None:
        return None
    store = open_store(address, max_sessions=settings.max_sessions, durability=settings.durability)
    worker = StoreWorker(store, observe=metrics.store_call)
    metrics.watch_store(lambda: worker.healthy)
    key = settings.state_key
    signer = StateSigner(state_secret(None if key is None else key.get_secret_value(), address).encode())
    service = SessionService(inference, worker, signer, settings.session_limits, metrics, metrics)
    return _Sessions(service, worker)


@asynccontextmanager
async def _running(sessions: _Sessions | None, metrics: Metrics) -> AsyncIterator[None]:
    """The store works, and is swept, until the last request has been answered."""
    if sessions is None:
        yield
        return
    sessions.store.start(asyncio.get_running_loop())
    keeper = Housekeeper(sessions.service, sessions.store.count, metrics.sessions_live.set)
    sweeper = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)
        await sessions.store.close()


def version() -> str:
    """The installed version, or ``0`` when run from a checkout that is not installed."""
    try:
        return importlib.metadata.version("rnnserve")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _alive(one: Loaded) -> Callable[[], bool]:
    return lambda: one.engine.alive


def _report_bad(path: Path, error: BundleError) -> None:
    logger.error("%s; it is not served", error.message)
