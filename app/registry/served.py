"""What is served now, and the switch to what is served next.

The switch is one assignment of a new :class:`~app.service.catalog.Catalog` on the event loop:
each request sees all of it or nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from app.registry.lineup import resolved
from app.registry.loading import Loaded
from app.registry.look import Look
from app.registry.options import RegistryObserver
from app.registry.retirement import Retirement
from app.service.catalog import Catalog, Label, choose_defaults
from app.service.deployment import Deployment

logger = logging.getLogger(__name__)


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
