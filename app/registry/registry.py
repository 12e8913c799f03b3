"""The served models; everything here runs on the event loop, but looking and verifying have threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from pathlib import Path

from app.bundle.reader import find_bundles
from app.core import memory
from app.core.errors import BundleError, ConfigurationError, DeadlineExceeded, LoadFailed, UnknownModel
from app.registry.background import begin
from app.registry.judging import Judging
from app.registry.lineup import SETTLE_S, Judge, Judgement, Lineup
from app.registry.loading import Loaded
from app.registry.look import Found, Look, look_at
from app.registry.on_demand import OnDemand
from app.registry.ports import ModelMetrics, Source
from app.registry.served import Served
from app.registry.unloaded import Siblings, UnloadedNames
from app.service.model_control import ModelState
from app.settings import Settings

logger = logging.getLogger(__name__)

_COMMAND_S = 120.0
"""That an administrator waits for a command; it goes on then."""


class ModelRegistry:
    """Implements :class:`app.service.model_control.ModelControl`; ``load`` is called on a thread."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[Path], Loaded],
        metrics: ModelMetrics,
        siblings: Siblings | None = None,
        sources: Sequence[Source] = (),
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._folders = [*settings.model_folders, *(source.folder for source in sources)]
        self._metrics = metrics
        self._siblings = siblings or Siblings(UnloadedNames(), lambda: None)
        self._lineup = Lineup(settings.keep_versions, settings.default_models.values())
        self.served = Served(settings.default_models, settings.model_drain_s, metrics)
        self._judging = Judging(load, settings.tasks, metrics)
        self._on_demand: OnDemand | None = None
        if settings.load == "on-demand":
            judge, retire = self._judging.beside, self.served.leaving.retire
            memory_bytes = settings.models_memory_bytes
            self._on_demand = OnDemand(memory_bytes, settings.limits, judge, retire, metrics)
        self.served.on_demand = self._on_demand
        self._changing = asyncio.Lock()
        self._woken = asyncio.Event()
        self._owned: set[asyncio.Task[None]] = set()
        self._problems: dict[str, frozenset[str]] = {}
        self._seen: tuple[Look, frozenset[str]] | None = None
        """What was served last; the same again needs no second thought."""

    def open(self) -> None:
        """Load everything before requests are taken; blocks.

        Raises:
            BundleError: a folder does not exist, or a bundle is bad and bad ones are not skipped.
            ConfigurationError: there is no bundle, or a default that was chosen is none of them.
            DeviceUnavailable: the device cannot be used.
        """
        memory.map_large_blocks()
        for source in self._sources:
            self._open_source(source)
        look = look_at(self._folders)
        if not look.bundles:
            places = [*map(str, self._settings.model_folders), *(source.address for source in self._sources)]
            raise ConfigurationError(
                f"the models folder {', '.join(map(repr, places))} holds no bundle "
                "(models/NAME/VERSION/manifest.json); "
                "rnnserve models fetch gets those of this release, rnnserve-train makes new ones"
            )
        names = {found.name for found in look.bundles.values()}
        with contextlib.suppress(StopIteration):  # its end, since nothing in it waits on a loop
            self._serve(look, self._judge_at_start, names).send(None)
        for task, wanted in self._settings.chosen_models.items():
            self._check_default(task, wanted)
        if unknown := self._settings.preloaded - names - look.bundles.keys():
            raise ConfigurationError(
                f"--preload {', '.join(sorted(unknown))}: no such model lies in a models folder"
            )

    def _check_default(self, task: str, wanted: str) -> None:
        """A default that somebody chose must be there; one that is bad or was unloaded may come back."""
        found = self.served.catalog.base(wanted)
        if found is not None and found.manifest.task == task:
            return
        known = self._lineup.names if self._settings.skip_bad_models else frozenset()
        if found is None and wanted.partition("@")[0] in known | self._lineup.unloaded:
            logger.warning("--default %s=%s is not served", task, wanted)
            return
        models = self.served.models.values()
        served = sorted({one.manifest.name for one in models if one.manifest.task == task})
        raise ConfigurationError(
            f"--default {task}={wanted}: no such model serves {task}; served: {', '.join(served) or 'none'}"
        )

    def _open_source(self, source: Source) -> None:
        try:
            source.refresh()
        except BundleError as error:
            source.folder.mkdir(parents=True, exist_ok=True)
            if not self._settings.skip_bad_models and not find_bundles(source.folder):
                raise
            self._complain("places", f"{error.message}; what was copied before is served")
        for reference, failure in source.failed.items():
            if not self._settings.skip_bad_models:
                raise type(failure)(f"{source.address}: bundle {reference}: {failure.message}")

    def start(self) -> None:
        self.served.start(asyncio.get_running_loop())

    async def watch(self) -> None:
        watching = [asyncio.create_task(self._poll()), asyncio.create_task(self._refresh())]
        try:
            await asyncio.gather(*watching)
        finally:
            for source in self._sources:
                source.stop()
            ending = [*watching, *self._owned]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work and wait for what runs; whether all of it ended in time."""
        models = [*self.served.models.values(), *self.served.leaving.models]
        engines = [one.loaded.engine for one in models if one.loaded is not None]
        finished = await asyncio.gather(*(engine.drain(timeout_s) for engine in engines))
        await self.close()
        return all(finished)

    async def close(self) -> None:
        """Close every engine; what still runs on one ends with it."""
        if self._on_demand is not None:
            await self._on_demand.close()
        await self.served.leaving.close()
        engines = [one.loaded.engine for one in self.served.models.values() if one.loaded is not None]
        # Closing joins a thread that delivers its last events through this loop, so it must not block it.
        await asyncio.gather(*(asyncio.to_thread(engine.close) for engine in engines))

    def wake(self) -> None:
        self._woken.set()

    def index(self) -> list[ModelState]:
        draining = {one.reference for one in self.served.leaving.models}
        failed = {key: error for one in self._sources for key, error in one.failed.items()}
        states = self._lineup.states(self.served.catalog, draining, failed)
        if self._on_demand is None:
            return states
        return [self._on_demand.told(state, self.served.models.get(state.reference)) for state in states]

    async def reload(self) -> list[ModelState]:
        await self._command(self._settle())
        return self.index()

    async def load(self, name: str) -> None:
        self._siblings.unloaded.discard(name)
        await self._command(self._fetch(name))
        states = [one for one in self.index() if one.name == name and one.status != "draining"]
        if not states:
            raise UnknownModel(name, tuple(sorted(self._lineup.names)))
        if all(one.status != "ready" for one in states):
            why = "; ".join(f"{one.reference}: {one.reason}" for one in states)
            raise LoadFailed(f"no version of {name} can be served: {why}")

    async def unload(self, name: str) -> None:
        if all(one.name != name for one in self.index()):
            raise UnknownModel(name, tuple(sorted(self._lineup.names)))
        self._siblings.unloaded.add(name)
        await self._command(self._drop(name))

    async def _poll(self) -> None:
        while True:
            seconds = SETTLE_S if self._lineup.unsettled else self._settings.models_poll_s
            try:
                async with asyncio.timeout(seconds or None):
                    await self._woken.wait()
                self._woken.clear()
                await self._refresh_sources(at_once=True)
            except TimeoutError:
                pass
            await self._try_change()

    async def _refresh(self) -> None:
        while self._settings.models_refresh_s and self._sources:
            await asyncio.sleep(self._settings.models_refresh_s)
            await self._refresh_sources()
            await self._try_change()

    async def _try_change(self) -> None:
        try:
            await self._change()
        except Exception:
            logger.exception("looking for models failed; it is tried again")

    async def _refresh_sources(self, *, at_once: bool = False) -> None:
        problems = []
        refreshes = [
            begin(partial(source.refresh, at_once=at_once), "models-refresh") for source in self._sources
        ]
        for error in await asyncio.gather(*map(asyncio.wrap_future, refreshes), return_exceptions=True):
            if isinstance(error, BundleError):
                problems.append(f"{error.message}; what was copied before is served")
            elif isinstance(error, BaseException):
                logger.error("a place of models could not be read", exc_info=error)
        self._complain("places", *problems)

    async def _settle(self, at_once: Collection[str] = ()) -> None:
        await self._refresh_sources(at_once=True)
        await self._change(at_once)
        while self._lineup.unsettled:
            await asyncio.sleep(SETTLE_S)
            await self._change()

    async def _fetch(self, name: str) -> None:
        await self._settle(frozenset({name}))
        if self._on_demand is not None:
            deployments = self.served.catalog.versions(name)
            for one in deployments:
                self.served.models[one.reference].retry_at = 0.0
            await asyncio.gather(*(one.loaded() for one in deployments), return_exceptions=True)

    async def _command(self, work: Coroutine[object, object, None]) -> None:
        """Run work that goes on when its caller has no time left, or goes away."""
        task = asyncio.create_task(work)
        self._owned.add(task)
        task.add_done_callback(self._owned.discard)
        try:
            async with asyncio.timeout(_COMMAND_S):
                await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineExceeded(
                f"it takes longer than {_COMMAND_S:g} s; it goes on, and the list of models shows how it ends"
            ) from None
        self._siblings.tell()

    async def _change(self, at_once: Collection[str] = ()) -> None:
        async with self._changing:
            try:
                look = await asyncio.to_thread(look_at, self._folders)
            except (BundleError, OSError) as error:
                self._complain("folders", f"the models cannot be looked at, and stay as they are: {error}")
                return
            if not look.bundles:
                # A folder that was not mounted again looks like this; a server without models helps nobody.
                self._complain("folders", "the models folders are empty; what is served goes on being served")
                return
            unloaded = self._siblings.unloaded.names()
            if (look, unloaded) != self._seen or at_once or self._lineup.unsettled:
                await self._serve(look, self._judge_beside, at_once)
                self._seen = look, unloaded
            self._count_bad()  # also those that are bad on the network, and come into no folder

    async def _serve(self, look: Look, judge: Judge, at_once: Collection[str]) -> None:
        self._complain("folders", *look.problems)
        self._lineup.unloaded = self._siblings.unloaded.names()
        self._lineup.see(look, self.served.models)
        chosen = await self._lineup.choose(look, self.served.models, judge, at_once)
        self.served.switch(chosen, look, self._lineup.known_names)
        self._count_bad()

    def _count_bad(self) -> None:
        self._metrics.bad_models(sum(state.status == "broken" for state in self.index()))

    async def _drop(self, name: str) -> None:
        async with self._changing:
            self._lineup.unloaded = self._siblings.unloaded.names()
            left = {key: one for key, one in self.served.models.items() if one.manifest.name != name}
            self.served.switch(left, None, self._lineup.known_names)

    async def _judge_at_start(self, found: Found) -> Judgement:
        skip_bad = self._settings.skip_bad_models
        return self._judging.at_start(found, stand=self._stands(found), skip_bad=skip_bad)

    async def _judge_beside(self, found: Found) -> Judgement:
        return await self._judging.beside(found, stand=self._stands(found))

    def _stands(self, found: Found) -> bool:
        """Whether a bundle is to be served without being loaded."""
        if self._on_demand is None or {found.name, found.reference} & self._settings.preloaded:
            return False
        held = self.served.models.get(found.reference)
        return held is None or held.loaded is None

    def _complain(self, about: str, *problems: str) -> None:
        """Log what was not wrong the last time."""
        for problem in sorted(set(problems) - self._problems.get(about, frozenset())):
            logger.error("%s", problem)
        self._problems[about] = frozenset(problems)
