"""Verifying bundles, each on a thread of its own: what came of it, as a value."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.core.errors import BundleError, DeviceUnavailable, RnnserveError
from app.registry.background import begin
from app.registry.lineup import Judgement
from app.registry.loading import Loaded, ServedVersion, read_standing
from app.registry.look import Found, sign
from app.registry.ports import ModelMetrics
from app.tasks.task import Tasks

logger = logging.getLogger(__name__)

_JUDGE_S = 300.0
"""That loading and verifying one bundle may take beside those that are served; it is given up then."""


class Judging:
    """``load`` is called on a thread. A bundle that is only to ``stand`` there has its manifest read."""

    def __init__(self, load: Callable[[Path], Loaded], tasks: Tasks, metrics: ModelMetrics) -> None:
        self._load = load
        self._tasks = tasks
        self._metrics = metrics

    def at_start(self, found: Found, *, stand: bool, skip_bad: bool) -> Judgement:
        """Blocks; raises what is wrong with a bundle unless bad ones are skipped."""
        # A signal's handler runs while this waits, whatever the bundle does.
        judgement = begin(partial(self._judge, found, stand), "models-verify").result()
        error = judgement.error
        if error is not None and not (skip_bad and isinstance(error, BundleError)):
            raise error
        return self._noted(judgement)

    async def beside(self, found: Found, *, stand: bool = False) -> Judgement:
        """Beside the models that are served; for five minutes at most."""
        try:
            async with asyncio.timeout(_JUDGE_S):
                judging = begin(partial(self._judge, found, stand), "models-verify")
                return self._noted(await asyncio.wrap_future(judging))
        except TimeoutError:
            text = f"bundle {found.name}/{found.version}: loading it takes longer than {_JUDGE_S:g} s"
            return self._noted(Judgement(error=BundleError(text)))

    def _judge(self, found: Found, stand: bool) -> Judgement:
        where = f"bundle {found.name}/{found.version}"
        try:
            if stand:
                return Judgement(ServedVersion(found, read_standing(found.path, self._tasks)))
            loaded = self._load(found.path)
            return Judgement(ServedVersion(found, loaded.deployment, loaded))
        except DeviceUnavailable as error:
            named: RnnserveError = DeviceUnavailable(error.message)
        except BundleError as error:
            named = type(error)(f"{where}: {error.message}")
        except Exception as error:
            logger.debug("%s", where, exc_info=True)
            named = BundleError(f"{where}: it cannot be loaded: {type(error).__name__}: {error}")
        # A new error: the one that was raised keeps everything that its frames hold, such as a file's bytes.
        return Judgement(error=named, settled=sign(found.path) == found.signature)

    def _noted(self, judgement: Judgement) -> Judgement:
        if judgement.error is not None and judgement.settled:
            self._metrics.model_event("failed")
            logger.error("%s; it is not served", judgement.error.message)
        return judgement
