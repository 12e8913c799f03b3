"""Which versions are in memory: loaded when a request needs them, evicted when others need the room.

    load(version) --one task a version--> turn --> room, by evicting who was used least recently --> judge
                                                                                                       |
    deployment.model, deployment.engine <--------------------------------------------------------------+

Everything here runs on the event loop; bundles are read and verified on threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from dataclasses import replace
from functools import partial

from app.bundle.manifest import ENCODER_FILE, GRAPH_FILE, TOKENIZER_FILE
from app.core import memory
from app.core.errors import BundleError, CapacityError, DeadlineExceeded, Draining, ModelNotLoaded, Overloaded
from app.core.limits import Limits
from app.registry.lineup import Judgement, public
from app.registry.loading import NO_ENGINE, ServedVersion
from app.registry.look import Found
from app.registry.ports import ModelMetrics
from app.service.model_control import ModelState

_AT_ONCE = 4
"""Loads that go side by side; a hostile bundle keeps one of them for its half minute."""
_RETRY_S = 5.0
"""For which a load that failed is not tried again."""
_ROOM_S = 5.0
"""That a load waits for a model without running work, which can be evicted."""
_LOOK_S = 0.02
# Measured for the shipped bundles: weights once to one and a half times, since ONNX Runtime keeps some beside
# what it packs; a tokenizer's tables.
_GRAPH_FACTOR, _TOKENIZER_FACTOR, _EACH_BYTES = 1.5, 10, 3 << 20


class OnDemand:
    """Keeps at most ``max_bytes`` of versions in memory, by an estimate from the sizes of their files.

    ``judge`` loads and verifies a bundle; ``retire`` ends a version that is served no more.
    """

    def __init__(
        self,
        max_bytes: int,
        limits: Limits,
        judge: Callable[[Found], Awaitable[Judgement]],
        retire: Callable[[Iterable[ServedVersion]], None],
        metrics: ModelMetrics,
    ) -> None:
        self._max_bytes = max_bytes
        self._limits = limits
        self._judge = judge
        self._retire = retire
        self._metrics = metrics
        self._resident: set[ServedVersion] = set()
        self._used_bytes = 0  # by those in memory, those being loaded and those being closed
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._loads: dict[ServedVersion, asyncio.Task[None]] = {}
        self._closed = False
        metrics.watch_memory(lambda: len(self._resident), lambda: self._used_bytes, max_bytes)

    def adopt(self, version: ServedVersion) -> None:
        """From now on it is loaded when it is needed; it may be in memory already."""
        sizes = {name: size for name, _, size, *_ in version.found.signature}
        graphs = _GRAPH_FACTOR * (sizes.get(GRAPH_FILE, 0) + sizes.get(ENCODER_FILE, 0))
        version.size = int(graphs) + _TOKENIZER_FACTOR * sizes.get(TOKENIZER_FILE, 0) + _EACH_BYTES
        if version.deployment.task.frames:  # nothing else takes slots
            version.size += 4 * version.manifest.row.size * self._limits.max_slots
        version.deployment.load = partial(self.load, version)
        if version.loaded is not None:
            self._resident.add(version)
            self._used_bytes += version.size

    def forget(self, version: ServedVersion) -> None:
        """It is served no more, and leaves as all that are replaced or removed do."""
        version.served = False
        if version in self._resident:
            self._resident.discard(version)
            self._used_bytes -= version.size

    async def load(self, version: ServedVersion) -> None:
        """As :attr:`Deployment.load`; requests share a load, and wait for it no longer than a request may."""
        deployment, clock = version.deployment, asyncio.get_running_loop().time
        if self._closed:
            raise Draining("the server is shutting down")
        if version.failure is not None and clock() < version.retry_at:
            raise self._refusal(version, version.failure)
        loading = self._loads.get(version)
        if loading is None:
            # In a context of its own: it is no single request's work.
            loading = asyncio.create_task(self._bring(version), context=Context())
            self._loads[version] = loading
        deployment.uses += 1
        try:
            await asyncio.wait({loading}, timeout=self._limits.request_timeout_s)
        finally:
            deployment.uses -= 1
        if deployment.model is not None:
            return
        if not loading.done():
            raise DeadlineExceeded(f"{version.reference} is still being loaded; try again")
        if version.failure is not None:
            raise self._refusal(version, version.failure)
        raise Draining("the server is shutting down")

    def told(self, state: ModelState, version: ServedVersion | None) -> ModelState:
        """The state of a version with whether it is in memory, or why it cannot be."""
        if version is None or state.status != "ready":
            return state
        if isinstance(version.failure, ModelNotLoaded):
            return replace(state, status="broken", reason=version.failure.message, loaded=False)
        return replace(state, loaded=version.loaded is not None)

    async def close(self) -> None:
        """Load nothing any more; who waits for a load is told so."""
        self._closed = True
        for load in (loads := list(self._loads.values())):
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    def _refusal(self, version: ServedVersion, failure: CapacityError) -> CapacityError:
        wait_s = max(version.retry_at - asyncio.get_running_loop().time(), 1.0)
        return type(failure)(f"{version.reference}: {failure.message}", retry_after_s=wait_s)

    async def _bring(self, version: ServedVersion) -> None:
        """Load a version; what is wrong with it is put into its ``failure``, and nothing is raised."""
        try:
            async with self._turns:
                await self._make_room(version)
                try:
                    await self._put_in_place(version)
                finally:
                    if version.loaded is None:
                        self._used_bytes -= version.size
            version.failure = None
        except CapacityError as error:
            tried = isinstance(error, ModelNotLoaded)
            version.retry_at = asyncio.get_running_loop().time() + _RETRY_S * tried
            version.failure = type(error)(error.message)  # without the frames of the one that was raised
        finally:
            del self._loads[version]

    async def _put_in_place(self, version: ServedVersion) -> None:
        judgement = await self._judge(version.found)
        loaded = None if judgement.version is None else judgement.version.loaded
        error = judgement.error
        if loaded is not None and loaded.manifest != version.manifest:
            loaded, error = None, BundleError("it has changed on disk")
        if loaded is None:
            why = "it could not be loaded" if error is None else public(error)
            raise ModelNotLoaded(f"{why}; it is tried again")
        loaded.engine.start(asyncio.get_running_loop())
        loaded.count(self._metrics)
        version.loaded = loaded
        version.deployment.model = loaded.deployment.model
        version.deployment.engine = loaded.deployment.engine
        if version.served:
            self._resident.add(version)
        else:
            self._used_bytes -= version.size
            self._retire([version])

    async def _make_room(self, version: ServedVersion) -> None:
        """Book the memory of a version; raises ModelNotLoaded and Overloaded."""
        if version.size > self._max_bytes:
            raise ModelNotLoaded(
                f"it takes about {version.size:,} bytes, and --models-memory-bytes is {self._max_bytes:,}"
            )
        clock = asyncio.get_running_loop().time
        until = clock() + _ROOM_S
        while self._used_bytes + version.size > self._max_bytes:
            by_use = sorted(self._resident, key=ServedVersion.used_at)
            victim = next((one for one in by_use if not one.busy()), None)
            if victim is not None:
                await self._evict(victim)
            elif clock() < until:
                await asyncio.sleep(_LOOK_S)
            else:
                raise Overloaded(
                    "models with running work take all of --models-memory-bytes; try again later"
                )
        self._used_bytes += version.size

    async def _evict(self, version: ServedVersion) -> None:
        loaded, version.loaded = version.loaded, None
        assert loaded is not None
        version.deployment.model, version.deployment.engine = None, NO_ENGINE
        self._resident.discard(version)
        version.uncount(self._metrics, "evicted")
        try:
            await asyncio.to_thread(loaded.engine.close)
        finally:
            self._used_bytes -= version.size
            memory.trimmer.soon()
