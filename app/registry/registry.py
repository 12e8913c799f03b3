"""The served models, from the start of the server to its end.

    folders --look, verify beside the old ones--> Lineup --> Served --one new Catalog--> requests
                                                               old ones --drain--> closed

Everything here runs on the event loop, but looking and verifying, which have a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from pathlib import Path

from app.bundle.reader import find_bundles
from app.core.errors import (
    BundleError,
    ConfigurationError,
    DeadlineExceeded,
    DeviceUnavailable,
    LoadFailed,
    RnnserveError,
    UnknownModel,
)
from app.registry.background import begin, in_background
from app.registry.complaints import Complaints
from app.registry.lineup import SETTLE_S, Judgement, Lineup
from app.registry.loading import Loaded
from app.registry.look import Found, look_at, sign
from app.registry.options import RegistryObserver, RegistryOptions, Source
from app.registry.served import Served
from app.registry.unloaded import Siblings, UnloadedNames
from app.service.model_control import ModelState

logger = logging.getLogger(__name__)

_JUDGE_S = 300.0
"""That loading and verifying one bundle may take beside those that are served; it is given up then."""


class ModelRegistry:
    """Decides what is served; implements :class:`app.service.model_control.ModelControl`.

    Args:
        options: how models live.
        load: reads, verifies and loads one bundle; called on a thread.
        observe: counts.
        siblings: the other workers of the server, where there are some.

    Attributes:
        served: the models and their catalog.
    """

    def __init__(
        self,
        options: RegistryOptions,
        load: Callable[[Path], Loaded],
        observe: RegistryObserver,
        siblings: Siblings | None = None,
    ) -> None:
        self._options = options
        self._load = load
        self._observe = observe
        siblings = siblings or Siblings(UnloadedNames(), lambda: None)
        self._unloaded = siblings.unloaded
        self._tell_others = siblings.tell
        self._lineup = Lineup(options.keep_versions, frozenset(options.preferred.values()))
        self.served = Served(options.preferred, options.drain_s, observe)
        self._changing = asyncio.Lock()
        self._woken = asyncio.Event()
        self._owned: set[asyncio.Task[None]] = set()
        self._wrong = Complaints()
        self._unreachable = Complaints()

    def open(self) -> None:
        """Load everything before requests are taken; blocks.

        Raises:
            BundleError: a folder does not exist, or a bundle is bad and bad ones are not skipped.
            ConfigurationError: there is no bundle, or a default that was chosen is none of them.
            DeviceUnavailable: the device cannot be used.
        """
        for source in self._options.sources:
            self._open_source(source)
        look = look_at(self._options.all_folders)
        if not look.bundles:
            places = [str(one) for one in self._options.folders] + [
                one.address for one in self._options.sources
            ]
            raise ConfigurationError(
                f"the models folder {', '.join(map(repr, places))} holds no bundle "
                "(models/NAME/VERSION/manifest.json); rnnserve-train makes them"
            )
        self._wrong.complain(look.problems)
        self._lineup.unloaded = self._unloaded.names()
        self._lineup.see(look, {})
        choosing = self._lineup.choose(look, {}, self._lineup.names)
        try:
            found = next(choosing)
            while True:
                # A signal's handler runs while this waits, whatever the bundle does.
                judgement = begin(partial(self._judge, found), "models-verify").result()
                error = judgement.error
                if error is not None and not (self._options.skip_bad and isinstance(error, BundleError)):
                    raise error
                self._note(judgement)
                found = choosing.send(judgement)
        except StopIteration as end:
            self.served.switch(end.value, look, self._known)
        self._observe.bad(self._num_broken())
        for task, wanted in self._options.chosen.items():
            self._check_default(task, wanted)

    def _check_default(self, task: str, wanted: str) -> None:
        """A default that somebody chose must be there; one that is bad or was unloaded may come back."""
        found = self.served.catalog.base(wanted)
        if found is not None and found.manifest.task == task:
            return
        name = wanted.partition("@")[0]
        if (
            found is None
            and name in self._known
            and (self._options.skip_bad or name in self._lineup.unloaded)
        ):
            logger.warning("--default %s=%s is not served", task, wanted)
            return
        served = sorted(
            {one.manifest.name for one in self.served.models.values() if one.manifest.task == task}
        )
        raise ConfigurationError(
            f"--default {task}={wanted}: no such model serves {task}; served: {', '.join(served) or 'none'}"
        )

    def _open_source(self, source: Source) -> None:
        """Copy what a place has; what was copied before will do when it does not answer."""
        try:
            source.refresh()
        except BundleError as error:
            source.folder.mkdir(parents=True, exist_ok=True)
            if not self._options.skip_bad and not find_bundles(source.folder):
                raise
            self._unreachable.complain([f"{error.message}; what was copied before is served"])
        for reference, failure in source.failed.items():
            if not self._options.skip_bad:
                raise type(failure)(f"{source.address}: bundle {reference}: {failure.message}")

    def start(self) -> None:
        """Start the engines on the running loop."""
        self.served.start(asyncio.get_running_loop())

    async def watch(self) -> None:
        """Watch the folders until cancelled."""
        watching = [asyncio.create_task(self._poll()), asyncio.create_task(self._refresh())]
        try:
            await asyncio.gather(*watching)
        finally:
            for source in self._options.sources:
                source.stop()
            ending: list[asyncio.Task[None]] = [*watching, *self._owned]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new work on every engine and wait for what runs; whether all of it ended in time."""
        models = [*self.served.models.values(), *self.served.leaving.models]
        finished = await asyncio.gather(*(one.engine.drain(timeout_s) for one in models))
        await self.close()
        return all(finished)

    async def close(self) -> None:
        """Close every engine; what still runs on one ends with it."""
        await self.served.leaving.close()
        engines = [one.engine for one in self.served.models.values()]
        # Closing joins a thread that delivers its last events through this loop, so it must not block it.
        await asyncio.gather(*(asyncio.to_thread(engine.close) for engine in engines))

    def wake(self) -> None:
        """Look soon; on the event loop, as a signal's handler."""
        self._woken.set()

    def index(self) -> list[ModelState]:
        """Every version that is known; see :class:`app.service.model_control.ModelControl`."""
        draining = {one.manifest.reference for one in self.served.leaving.models}
        failed = {key: error for one in self._options.sources for key, error in one.failed.items()}
        return self._lineup.states(self.served.catalog, draining, failed)

    async def reload(self) -> list[ModelState]:
        """Serve what is new, unload what has gone; raises DeadlineExceeded."""
        await self._command(self._settle())
        self._tell_others()
        return self.index()

    async def load(self, name: str) -> None:
        """Serve what there is of a name; raises UnknownModel, LoadFailed and DeadlineExceeded."""
        self._unloaded.discard(name)
        await self._command(self._settle(frozenset({name})))
        self._tell_others()
        states = [one for one in self.index() if one.name == name and one.status != "draining"]
        if not states:
            raise UnknownModel(name, tuple(sorted(self._lineup.names)))
        if all(one.status != "ready" for one in states):
            why = "; ".join(f"{one.reference}: {one.reason}" for one in states)
            raise LoadFailed(f"no version of {name} can be served: {why}")

    async def unload(self, name: str) -> None:
        """Serve nothing of a name; raises UnknownModel and DeadlineExceeded."""
        if all(one.name != name for one in self.index()):
            raise UnknownModel(name, tuple(sorted(self._lineup.names)))
        self._unloaded.add(name)
        await self._command(self._drop(name))
        self._tell_others()

    async def _poll(self) -> None:
        while True:
            seconds = SETTLE_S if self._lineup.unsettled else self._options.poll_s
            try:
                async with asyncio.timeout(seconds or None):
                    await self._woken.wait()
                self._woken.clear()
                await self._refresh_sources(at_once=True)
            except TimeoutError:
                pass
            await self._try_change()

    async def _refresh(self) -> None:
        while self._options.refresh_s and self._options.sources:
            await asyncio.sleep(self._options.refresh_s)
            await self._refresh_sources()
            await self._try_change()

    async def _try_change(self) -> None:
        try:
            await self._change()
        except Exception:
            logger.exception("looking for models failed; it is tried again")

    async def _refresh_sources(self, *, at_once: bool = False) -> None:
        sources = self._options.sources
        problems = []
        ended = await asyncio.gather(
            *(in_background(partial(one.refresh, at_once=at_once), "models-refresh") for one in sources),
            return_exceptions=True,
        )
        for error in ended:
            if isinstance(error, BundleError):
                problems.append(f"{error.message}; what was copied before is served")
            elif isinstance(error, BaseException):
                logger.error("a place of models could not be read", exc_info=error)
        self._unreachable.complain(problems)

    async def _settle(self, at_once: Collection[str] = ()) -> None:
        await self._refresh_sources(at_once=True)
        await self._change(at_once)
        while self._lineup.unsettled:
            await asyncio.sleep(SETTLE_S)
            await self._change()

    async def _command(self, work: Coroutine[object, object, None]) -> None:
        """Run work that goes on when its caller has no time left, or goes away."""
        task = asyncio.create_task(work)
        self._owned.add(task)
        task.add_done_callback(self._owned.discard)
        try:
            async with asyncio.timeout(self._options.command_s):
                await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineExceeded(
                f"it takes longer than {self._options.command_s:g} s; it goes on, and the list of models "
                "shows how it ends"
            ) from None

    async def _change(self, at_once: Collection[str] = ()) -> None:
        """Look, verify what is new, and switch; nothing changes when the folders cannot be read."""
        async with self._changing:
            try:
                look = await asyncio.to_thread(look_at, self._options.all_folders)
            except (BundleError, OSError) as error:
                self._wrong.complain([f"the models cannot be looked at, and stay as they are: {error}"])
                return
            if not look.bundles:
                # A folder that was not mounted again looks like this; a server without models helps nobody.
                self._wrong.complain(["the models folders are empty; what is served goes on being served"])
                return
            self._wrong.complain(look.problems)
            self._lineup.unloaded = self._unloaded.names()
            self._lineup.see(look, self.served.models)
            choosing = self._lineup.choose(look, self.served.models, at_once)
            try:
                found = next(choosing)
                while True:
                    judgement = await self._judge_in_background(found)
                    self._note(judgement)
                    found = choosing.send(judgement)
            except StopIteration as end:
                self.served.switch(end.value, look, self._known)
            self._observe.bad(self._num_broken())

    async def _drop(self, name: str) -> None:
        async with self._changing:
            self._lineup.unloaded = self._unloaded.names()
            left = {key: one for key, one in self.served.models.items() if one.manifest.name != name}
            self.served.switch(left, None, self._known)

    @property
    def _known(self) -> frozenset[str]:
        return self._lineup.names | self._lineup.unloaded

    async def _judge_in_background(self, found: Found) -> Judgement:
        try:
            async with asyncio.timeout(_JUDGE_S):
                return await in_background(partial(self._judge, found), "models-verify")
        except TimeoutError:
            text = f"bundle {found.name}/{found.version}: loading it takes longer than {_JUDGE_S:g} s"
            return Judgement(error=BundleError(text))

    def _judge(self, found: Found) -> Judgement:
        """Verify a bundle; on a thread of its own."""
        where = f"bundle {found.name}/{found.version}"
        try:
            return Judgement(self._load(found.path))
        except DeviceUnavailable as error:
            named: RnnserveError = DeviceUnavailable(error.message)
        except BundleError as error:
            named = type(error)(f"{where}: {error.message}")
        except Exception as error:
            logger.debug("%s", where, exc_info=True)
            named = BundleError(f"{where}: it cannot be loaded: {type(error).__name__}: {error}")
        # A new error: the one that was raised keeps everything that its frames hold, such as a file's bytes.
        return Judgement(error=named, settled=sign(found.path) == found.signature)

    def _note(self, judgement: Judgement) -> None:
        error = judgement.error
        if error is None or not judgement.settled:
            return
        self._observe.event("failed")
        logger.error("%s; it is not served", error.message)

    def _num_broken(self) -> int:
        return sum(one.status == "broken" for one in self.index())
