"""What is done for sessions in the background, by any number of servers on one store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from app.core.errors import RnnserveError
from app.sessions.service import SessionService
from app.sessions.stores.store import SessionStore
from app.sessions.stores.worker import StoreWorker

logger = logging.getLogger(__name__)

_SWEEP_S = 1.0
_PAUSE_S = 0.02  # after a sweep that found something, so that no step waits behind the next
_COUNT_S = 5.0
_RETRY_S = 2.0


async def keep_house(sessions: SessionService, store: StoreWorker, report: Callable[[int], None]) -> None:
    """End what has expired and report how many sessions live. Never returns, and no failure ends it.

    While the clocks disagree one of them is wrong, perhaps the store's, and what is ended is ended for good.
    """
    loop = asyncio.get_running_loop()
    next_count = 0.0
    while True:
        wait_s = _SWEEP_S
        try:
            # First of all: before its first answer the store has no time, by which sessions expire.
            if loop.time() >= next_count:
                report(await store.call(SessionStore.count))
                next_count = loop.time() + _COUNT_S
            if not store.is_off and await sessions.sweep():
                wait_s = _PAUSE_S
        except RnnserveError as error:
            wait_s = _RETRY_S
            logger.warning("expired sessions could not be swept: %s", error.message)
        except Exception:
            wait_s = _RETRY_S
            logger.exception("expired sessions could not be swept")
        await asyncio.sleep(wait_s)
