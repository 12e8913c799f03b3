"""What is served now, and the switch to what is served next.

The switch is one assignment of a new catalog on the event loop: each request sees all of it or nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from app.core import memory
from app.registry.lineup import resolved
from app.registry.loading import ServedVersion
from app.registry.look import Look
from app.registry.on_demand import OnDemand
from app.registry.ports import ModelMetrics
from app.service.catalog import Catalog, Deployment, Label, choose_defaults, in_memory

logger = logging.getLogger(__name__)

# A request that found the model just before it was retired has handed in its work by then.
_LINGER_S = 1.0
_LOOK_S = 0.05


class Served:
    """The models that take requests, and those that are leaving.

    ``alive`` says, by ``name@version``, whether its engine runs; it is changed in place.
    """

    def __init__(self, preferred: Mapping[str, str], drain_s: float, metrics: ModelMetrics) -> None:
        self._preferred = preferred
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publish: Callable[[Catalog], None] = lambda catalog: None
        self._labels: dict[str, dict[str, Label]] = {}
        self.on_demand: OnDemand | None = None
        self.models: Mapping[str, ServedVersion] = {}
        self.leaving = Retirement(drain_s, self._left)
        self.alive: dict[str, Callable[[], bool]] = {}
        self.catalog = Catalog((), {})

    def publish_to(self, publish: Callable[[Catalog], None]) -> None:
        """Hand the catalog to whoever answers requests, now and after each switch."""
        self._publish = publish
        publish(self.catalog)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the engines, and from now on those of every model that is added."""
        self._loop = loop
        for one in self.models.values():
            if one.loaded is not None:
                one.loaded.engine.start(loop)

    def switch(self, chosen: Mapping[str, ServedVersion], look: Look | None, known: frozenset[str]) -> None:
        """Serve these models and no others, with the labels that ``look`` has; ``None`` keeps them.

        ``known`` names models that may come back, so that no other takes their place unasked.
        """
        before = self.catalog
        labels = resolved(self._labels if look is None else look.labels, chosen, self._labels)
        new = [one for key, one in chosen.items() if self.models.get(key) is not one]
        gone = [one for key, one in self.models.items() if chosen.get(key) is not one]
        if not new and not gone and labels == self._labels:
            return
        for one in new:
            if one.loaded is not None:
                if self._loop is not None:
                    one.loaded.engine.start(self._loop)
                one.loaded.count(self._metrics)
            if self.on_demand is not None:
                self.on_demand.adopt(one)
        self.models, self._labels = dict(chosen), labels
        deployments = [one.deployment for one in chosen.values()]
        self.catalog = Catalog(deployments, self._asked(deployments, known), labels)
        self._publish(self.catalog)
        self.alive.update((one.reference, one.alive) for one in new)
        for one in gone:
            if one.reference not in chosen:
                del self.alive[one.reference]
        if self.on_demand is not None:
            for one in gone:
                self.on_demand.forget(one)
        self.leaving.retire(one for one in gone if one.loaded is not None)
        if self._loop is not None:
            self._tell(before, new, gone)

    def _asked(self, deployments: list[Deployment], known: frozenset[str]) -> dict[str, str]:
        asked = choose_defaults(deployments, self._preferred, self._labels)
        for task, before in self.catalog.asked.items():
            # A default that is away for a while is missed, not replaced by another model.
            returning = before.partition("@")[0] in known
            if asked.get(task) != self._preferred.get(task, "") and returning:
                asked[task] = before
        return asked

    def _tell(self, before: Catalog, new: list[ServedVersion], gone: list[ServedVersion]) -> None:
        for one in new:
            if one.loaded is None:
                logger.info("%s is served, and loaded when it is needed", one.reference)
            else:
                logger.info("%s is served; it was verified in %.2f s", one.reference, one.loaded.load_seconds)
        for one in gone:
            logger.info("%s takes no new requests", one.reference)
        for name in sorted({one.manifest.name for one in self.catalog.deployments.values()}):
            old, now = before.base(name), self.catalog.base(name)
            if now is not None and now is not old:
                self._metrics.model_event("switched")
                logger.info("requests of %s go to %s", name, now.manifest.reference)

    def _left(self, one: ServedVersion) -> None:
        one.loaded, one.deployment.load = None, in_memory  # which knew each other
        still = [other.reference for other in self.leaving.models]
        if one.reference not in self.models and one.reference not in still:
            one.uncount(self._metrics, "retired")


class Retirement:
    """Models on their way out; ``ended`` is told of each when it has gone. Used on the event loop."""

    def __init__(self, drain_s: float, ended: Callable[[ServedVersion], None]) -> None:
        self._drain_s = drain_s
        self._ended = ended
        self._leaving: dict[asyncio.Task[None], ServedVersion] = {}

    @property
    def models(self) -> list[ServedVersion]:
        return list(self._leaving.values())

    def retire(self, models: Iterable[ServedVersion]) -> None:
        for one in models:
            task = asyncio.create_task(self._leave(one))
            self._leaving[task] = one
            task.add_done_callback(self._gone)

    async def close(self) -> None:
        """Wait for nothing any more; engines that still run are closed."""
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _leave(self, one: ServedVersion) -> None:
        assert one.loaded is not None
        engine = one.loaded.engine
        clock = asyncio.get_running_loop().time
        until = clock() + self._drain_s
        try:
            while engine.alive and one.busy():
                if clock() >= until:
                    text = "%s: work was still running after %g s and is ended"
                    logger.warning(text, one.reference, self._drain_s)
                    break
                await asyncio.sleep(_LOOK_S)
        finally:
            await asyncio.to_thread(engine.close)

    def _gone(self, task: asyncio.Task[None]) -> None:
        one = self._leaving.pop(task)
        self._ended(one)
        if not task.cancelled():
            logger.info("%s has been unloaded", one.reference)
            # The weights are freed when the last reference goes, which is after this callback.
            del one
            loop = asyncio.get_running_loop()
            loop.call_later(_LINGER_S, loop.run_in_executor, None, memory.trim)
