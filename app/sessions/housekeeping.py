"""What is done for sessions in the background: expiry, and a count of those that live. Any number of
servers may do it on one store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.core.errors import RnnserveError
from app.sessions.service import SessionService
from app.sessions.stores.store import AsyncStore, SessionStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """``sweep_s`` after a sweep that found nothing, ``pause_s`` after one that did, so that no step waits
    behind it.
    """

    sweep_s: float = 1.0
    pause_s: float = 0.02
    count_s: float = 5.0
    retry_s: float = 2.0


class Housekeeper:
    def __init__(
        self,
        sessions: SessionService,
        store: AsyncStore,
        report: Callable[[int], None],
        pace: Pace = Pace(),
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._report = report
        self._pace = pace

    async def run(self) -> None:
        """Never returns, and no failure ends it."""
        loop = asyncio.get_running_loop()
        next_count = 0.0
        while True:
            wait_s = self._pace.sweep_s
            try:
                if await self._sessions.sweep():
                    wait_s = self._pace.pause_s
                if loop.time() >= next_count:
                    self._report(await self._store.call(SessionStore.count))
                    next_count = loop.time() + self._pace.count_s
            except RnnserveError as error:
                wait_s = self._pace.retry_s
                logger.warning("expired sessions could not be swept: %s", error.message)
            except Exception:
                wait_s = self._pace.retry_s
                logger.exception("expired sessions could not be swept")
            await asyncio.sleep(wait_s)
