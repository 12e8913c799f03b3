"""From the engine to the event loop: one wake-up for all that has happened since the last."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from app.engine.job import Delivery

logger = logging.getLogger(__name__)

# Streams of small networks produce tokens faster than they should be sent one by one: a frame costs more
# than a step does. Tokens wait for those that follow, the longer the more streams there are to be written
# to, and far less than anybody notices. First tokens and all other answers go at once.
_TOKENS_WAIT_S = 1e-3
_EACH_WAITS_S = 1e-4
_LONGEST_WAIT_S = 1e-2


class Outbox:
    """Deliveries on their way; those of one job arrive in the order in which they were put.

    While the loop is busy, deliveries of several ticks gather and cost one wake-up.
    """

    def __init__(self, *, on_loop: bool = False) -> None:
        self._on_loop = on_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        # What somebody waits for; of a job it comes before anything that is held.
        self._urgent: deque[Delivery] = deque()
        self._held: deque[Delivery] = deque()
        self._held_is_due = False
        self._scheduled = False
        self._published_at = 0.0
        self._wait_s = _TOKENS_WAIT_S

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def put(self, delivery: Delivery) -> None:
        (self._held if delivery.held else self._urgent).append(delivery)

    def pace(self, num_streams: int) -> None:
        self._wait_s = min(_TOKENS_WAIT_S + _EACH_WAITS_S * num_streams, _LONGEST_WAIT_S)

    def publish_paced(self, now: float) -> None:
        """As :meth:`publish`, but later tokens and ends are held back for a while after some were published.

        There will be a further call soon: jobs are left.
        """
        if now - self._published_at >= self._wait_s:
            self._published_at = now
            self.publish()
        elif self._urgent:
            self._wake()

    def publish(self) -> None:
        if self._held:
            self._held_is_due = True
        if self._held or self._urgent:
            self._wake()

    def _wake(self) -> None:
        if self._scheduled or self._loop is None:
            return
        if self._on_loop:
            self._deliver()
            return
        # Set before the loop is told, cleared by it before it looks: what is put meanwhile is
        # either seen by the callback that is under way or gets one of its own.
        self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed, so nobody waits any more
            logger.debug("deliveries after the loop closed")
            self._urgent.clear()
            self._held.clear()

    def _deliver(self) -> None:
        self._scheduled = False
        due = 0
        if self._held_is_due:
            # Cleared before the look: what is put and published between the two has a callback of its own,
            # which must find it due.
            self._held_is_due = False
            due = len(self._held)
        # Bounded by what was there: the engine may put more than one callback can deliver. Counted after
        # what is held: a job's beginning was put before its end, and is delivered before it.
        for _ in range(len(self._urgent)):
            self._urgent.popleft().deliver()
        for _ in range(due):
            self._held.popleft().deliver()
