"""What is served now, and the switch to what is served next.

The switch is one assignment of a new :class:`~app.service.catalog.Catalog` on the event loop:
each request sees all of it or nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
from collections.abc import Callable, Iterable, Mapping

from app.engine.engine import Engine
from app.registry.lineup import resolved
from app.registry.loading import Loaded
from app.registry.look import Look
from app.registry.options import RegistryObserver
from app.service.catalog import Catalog, Deployment, Label, choose_defaults

logger = logging.getLogger(__name__)

# A request that found the model just before it was retired has handed in its work by then.
_LINGER_S = 1.0
_LOOK_S = 0.05


class Served:
    """The models that take requests, and those that are leaving.

    Args:
        preferred: task to what serves it when a request names no model.
        drain_s: that running work on a retired version may take.
        observe: counts.

    Attributes:
        alive: by ``name@version``, whether its engine runs; changed in place.
        leaving: the retired ones that still run.
        catalog: of the models.
    """

    def __init__(self, preferred: Mapping[str, str], drain_s: float, observe: RegistryObserver) -> None:
        self._preferred = preferred
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publish: Callable[[Catalog], None] = lambda catalog: None
        self._labels: dict[str, dict[str, Label]] = {}
        self.models: Mapping[str, Loaded] = {}
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
            one.engine.start(loop)

    def switch(self, chosen: Mapping[str, Loaded], look: Look | None, known: frozenset[str]) -> None:
        """Serve these models and no others.

        Args:
            chosen: by ``name@version``, by name, versions ascending.
            look: with the labels as they are written; ``None`` keeps them.
            known: names of models that may come back, so that no other takes their place unasked.
        """
        before = self.catalog
        labels = resolved(self._labels if look is None else look.labels, chosen, self._labels)
        new = [one for key, one in chosen.items() if self.models.get(key) is not one]
        gone = [one for key, one in self.models.items() if chosen.get(key) is not one]
        if not new and not gone and labels == self._labels:
            return
        for one in new:
            if self._loop is not None:
                one.engine.start(self._loop)
            self._observe.loaded(one)
        self.models, self._labels = dict(chosen), labels
        deployments = [one.deployment for one in chosen.values()]
        self.catalog = Catalog(deployments, self._asked(deployments, known), labels)
        self._publish(self.catalog)
        self.alive.update((one.manifest.reference, _alive(one)) for one in new)
        for one in gone:
            if one.manifest.reference not in chosen:
                del self.alive[one.manifest.reference]
        self.leaving.retire(gone)
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

    def _tell(self, before: Catalog, new: list[Loaded], gone: list[Loaded]) -> None:
        for one in new:
            logger.info("%s is served; it was verified in %.2f s", one.manifest.reference, one.load_seconds)
        for one in gone:
            logger.info("%s takes no new requests", one.manifest.reference)
        for name in sorted({one.manifest.name for one in self.catalog.deployments.values()}):
            old, now = before.base(name), self.catalog.base(name)
            if now is not None and now is not old:
                self._observe.event("switched")
                logger.info("requests of %s go to %s", name, now.manifest.reference)

    def _left(self, one: Loaded) -> None:
        reference = one.manifest.reference
        still = [other.manifest.reference for other in self.leaving.models]
        if reference not in self.models and reference not in still:
            self._observe.retired(reference)


def _alive(one: Loaded) -> Callable[[], bool]:
    return lambda: one.engine.alive


class Retirement:
    """Models on their way out. Used on the event loop.

    Args:
        drain_s: seconds that running work may take.
        ended: told of each model when it has gone.
    """

    def __init__(self, drain_s: float, ended: Callable[[Loaded], None]) -> None:
        self._drain_s = drain_s
        self._ended = ended
        self._leaving: dict[asyncio.Task[None], Loaded] = {}

    @property
    def models(self) -> list[Loaded]:
        """Those that have not gone yet."""
        return list(self._leaving.values())

    def retire(self, models: Iterable[Loaded]) -> None:
        """Let models go, each when its work has ended."""
        for one in models:
            task = asyncio.create_task(self._leave(one.engine, one.manifest.reference))
            self._leaving[task] = one
            task.add_done_callback(self._gone)

    async def close(self) -> None:
        """Wait for nothing any more; engines that still run are closed."""
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _leave(self, engine: Engine, reference: str) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + max(self._drain_s, _LINGER_S)
        idle_since = clock()
        try:
            while engine.alive and clock() < until:
                if engine.load().sequences:
                    idle_since = clock()
                elif clock() - idle_since >= _LINGER_S:
                    break
                await asyncio.sleep(_LOOK_S)
            else:
                if engine.alive:
                    logger.warning(
                        "%s: work was still running after %g s and is ended", reference, self._drain_s
                    )
        finally:
            await asyncio.to_thread(engine.close)

    def _gone(self, task: asyncio.Task[None]) -> None:
        one = self._leaving.pop(task)
        self._ended(one)
        if not task.cancelled():
            logger.info("%s has been unloaded", one.manifest.reference)
            # The weights are freed when the last reference goes, which is after this callback.
            del one
            asyncio.get_running_loop().call_later(_LINGER_S, _give_memory_back)


def _give_memory_back() -> None:
    """Hand freed memory to the system, which glibc would rather keep; other C libraries do so anyway."""
    with contextlib.suppress(AttributeError, OSError):
        asyncio.get_running_loop().run_in_executor(None, ctypes.CDLL(None).malloc_trim, 0)
