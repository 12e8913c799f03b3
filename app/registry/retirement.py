"""Ending what is served no more: its running work first, then its engine."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
from collections.abc import Callable, Iterable

from app.engine.engine import Engine
from app.registry.loading import Loaded

logger = logging.getLogger(__name__)

# A request that found the model just before it was retired has handed in its work by then.
_LINGER_S = 1.0
_LOOK_S = 0.05


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
