"""The composition root: settings in, an application with loaded models out."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI

from app.access.key_file import KeyDefaults
from app.access.key_ring import KeyRing
from app.access.metering import MeteredSubmitter
from app.core.errors import ConfigurationError
from app.core.ports import Submitter
from app.edge.application import assemble
from app.edge.edge import AccessRules, Edge, Lifecycle, SessionEdge
from app.edge.http.room import room
from app.protocols.oip import OIP
from app.protocols.openai import OPENAI
from app.registry.opening import open_registry
from app.registry.ports import RemotePlaces, Source
from app.registry.registry import ModelRegistry
from app.registry.unloaded import Siblings
from app.service.inference import InferenceService
from app.sessions.housekeeping import keep_house
from app.sessions.keys import state_secret
from app.sessions.portable import StateSigner
from app.sessions.service import SessionService
from app.sessions.stores import lmdb_path, open_store
from app.sessions.stores.worker import StoreWorker
from app.settings import Settings, tracing_variables
from app.telemetry.metrics import Metrics
from app.telemetry.otlp import open_tracing
from app.telemetry.process import disk_bytes
from app.telemetry.sharing import Share
from app.telemetry.traced import TracedEngine, TracedStore
from app.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

PROTOCOLS = (OPENAI, OIP)
"""Served besides our own; a line each, and its folder."""

# Sockets close themselves when their last stream has ended; this bounds the wait for that.
_SOCKETS_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Application:
    """The application, and what its server needs: ``drain`` lets running work end, then stops the engines."""

    asgi: FastAPI
    drain: Callable[[], Awaitable[None]]
    registry: ModelRegistry


@dataclass(frozen=True, slots=True, eq=False)
class _Sessions:
    service: SessionService
    store: StoreWorker

    def edge(self, settings: Settings) -> SessionEdge:
        return SessionEdge(self.service, settings.session_limits, lambda: self.store.trouble)


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application of these settings, for any ASGI server.

    Raises:
        BundleError, ConfigurationError, DeviceUnavailable: a bundle is bad or missing, or the device is.
    """
    return compose(settings).asgi


def compose(settings: Settings, share: Share | None = None, siblings: Siblings | None = None) -> Application:
    """Load the models and put everything together; raises as :func:`create_app`.

    ``share`` is where workers that serve one port put their metrics together, ``siblings`` how such a worker
    tells the others what an administrator wants.
    """
    keys = _read_keys(settings)
    metrics = Metrics(share, version(), settings.metrics_models if settings.load == "on-demand" else None)
    metrics.watch_connections(lambda: room.num_open)
    limits = settings.limits
    tracing = open_tracing(version(), tracing_variables()) if settings.tracing == "otlp" else None
    registry = open_registry(settings, metrics, siblings, _wrapping(keys, tracing), open_sources(settings))
    lifecycle = Lifecycle() if siblings is None else Lifecycle(siblings.started)
    inference = InferenceService(limits, metrics)
    metrics.watch_attended(lambda: inference.encoded.held_bytes, limits.max_attended_bytes)
    registry.served.publish_to(inference.serve)
    sessions = _open_sessions(settings, inference, metrics, keys, tracing)
    edge = Edge(
        service=inference,
        limits=limits,
        tasks=settings.tasks,
        metrics=metrics,
        lifecycle=lifecycle,
        alive=registry.served.alive,
        sessions=None if sessions is None else sessions.edge(settings),
        models=registry,
        access=AccessRules(
            keys,
            settings.admin_port,
            settings.origins,
            (hosts := settings.hosts_of(settings.host)),
            hosts if settings.admin_port is None else settings.hosts_of(settings.admin_host),
        ),
        tracing=tracing,
        access_log=settings.access_log,
    )

    async def drain() -> None:
        # The engines take work for as long as admitted requests may need them.
        lifecycle.drain()
        until = asyncio.get_running_loop().time() + settings.grace_s
        await lifecycle.settled(settings.grace_s)
        if not await registry.drain(max(0.0, until - asyncio.get_running_loop().time())):
            logger.warning("work was still running after %g s and has been ended", settings.grace_s)
        await lifecycle.settled(_SOCKETS_S)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        registry.start()
        try:
            watches = [registry.watch] if keys is None else [registry.watch, keys.watch]
            async with _running(sessions, metrics), _beside(*(watch() for watch in watches)):
                with metrics.publishing():
                    yield
        finally:
            await registry.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    asgi = assemble(
        edge, version=version(), lifespan=lifespan, page=settings.page == "on", protocols=PROTOCOLS
    )
    return Application(asgi, drain, registry)


@asynccontextmanager
async def answering(settings: Settings) -> AsyncIterator[InferenceService]:
    """The models of these settings in this process, without a server; raises as :func:`create_app`."""
    metrics = Metrics(None, version())
    registry = open_registry(settings, metrics, sources=open_sources(settings))
    inference = InferenceService(settings.limits, metrics)
    registry.served.publish_to(inference.serve)
    registry.start()
    try:
        yield inference
    finally:
        await registry.close()


def open_sources(settings: Settings) -> list[Source]:
    """The places on the network whose bundles are served."""
    return [
        remote_places(address).open_source(
            address, settings.models_cache, settings.max_bundle_bytes, settings.fetch_timeout_s
        )
        for address in settings.remote_models
    ]


def remote_places(address: str) -> RemotePlaces:
    """What reads ``address``; without the folder ``app/remote`` a server reads local folders alone."""
    try:
        from app import remote
    except ImportError as error:
        raise ConfigurationError(
            f"{address}: places on the network are not built into this server; name folders"
        ) from error
    return remote


def _open_sessions(
    settings: Settings,
    inference: InferenceService,
    metrics: Metrics,
    keys: KeyRing | None,
    tracing: Tracing | None,
) -> _Sessions | None:
    address = settings.session_store
    if address is None:
        return None
    store = open_store(address, max_sessions=settings.max_sessions, durability=settings.durability)
    worker = StoreWorker(store, observe=metrics.store_call, max_skew_s=settings.max_clock_skew_s)
    folder = lmdb_path(address)
    metrics.watch_store(
        lambda: worker.healthy,
        lambda: worker.num_waiting,
        None if folder is None else partial(disk_bytes, folder),
        settings.max_sessions,
        lambda: worker.clock.skew_s,
    )
    key = settings.state_key
    signer = StateSigner(state_secret(None if key is None else key.get_secret_value(), address).encode())
    service = SessionService(
        inference,
        worker if tracing is None else TracedStore(tracing, worker),
        signer,
        settings.session_limits,
        metrics,
        worker.clock,
        quota=(lambda owner: None) if keys is None else keys.max_sessions,
        waiting=None if tracing is None else tracing.waiting,
    )
    return _Sessions(service, worker)


@asynccontextmanager
async def _running(sessions: _Sessions | None, metrics: Metrics) -> AsyncIterator[None]:
    """The store works, and is swept, until the last request has been answered."""
    if sessions is None:
        yield
        return
    sessions.store.start(asyncio.get_running_loop())
    try:
        async with _beside(keep_house(sessions.service, sessions.store, metrics.live_sessions)):
            yield
    finally:
        await sessions.service.stop()
        await sessions.store.close()


def _wrapping(keys: KeyRing | None, tracing: Tracing | None) -> Callable[[Submitter, str], Submitter] | None:
    if keys is None:
        return None if tracing is None else partial(TracedEngine, tracing)

    def wrap(engine: Submitter, reference: str) -> Submitter:
        return MeteredSubmitter(engine if tracing is None else TracedEngine(tracing, engine, reference))

    return wrap


def _read_keys(settings: Settings) -> KeyRing | None:
    if settings.keys is None:
        return None
    defaults = KeyDefaults(
        requests_per_s=settings.key_requests_per_s,
        steps_per_s=settings.key_steps_per_s,
        burst_s=settings.key_burst_s,
        max_sessions=settings.key_max_sessions,
    )
    return KeyRing(settings.keys, defaults)


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """In the block this goes on; at its end it is cancelled."""
    tasks = list(map(asyncio.create_task, work))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def version() -> str:
    """The installed version, or ``0`` when run from a checkout that is not installed."""
    try:
        return importlib.metadata.version("rnnserve")
    except importlib.metadata.PackageNotFoundError:
        return "0"
