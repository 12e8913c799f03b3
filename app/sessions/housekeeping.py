"""What is done for sessions in the background: expiry, and a count of those that live.

One bounded batch at a time with pauses between, so that no step waits behind it; the store may
go away and come back meanwhile. Any number of servers may do it on one store.
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
    """How often.

    Attributes:
        sweep_s: between sweeps that found nothing.
        pause_s: between batches of one that did.
        count_s: between counts.
        retry_s: after the store failed.
    """

    sweep_s: float = 1.0
    pause_s: float = 0.02
    count_s: float = 5.0
    retry_s: float = 2.0


class Housekeeper:
    """Ends what has expired, until it is cancelled.

    Args:
        sessions: swept.
        store: where they are.
        report: told how many live there.
        pace: how often.
    """

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
