"""From the engine to the event loop: one wake-up for all that has happened since the last."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from app.core.sequence import Outputs, Terminal
from app.engine.block import Block
from app.engine.job import Job
from app.engine.mailbox import Mailbox
from app.engine.outcome import Batch

logger = logging.getLogger(__name__)

# Streams of small networks produce tokens faster than a loop should be woken: every wake-up takes the
# interpreter's lock from the engine. Tokens wait this long for those that follow, far less than anybody
# notices; everything else goes at once, and so does a token after a pause.
_TOKENS_WAIT_S = 1e-3

_Delivery = Batch | Block | tuple[Job, Outputs | Terminal]


class Outbox:
    """Deliveries in the order in which they were put.

    The engine puts and publishes; the loop delivers. While the loop is busy, deliveries of several
    ticks gather and cost one wake-up.

    Args:
        on_loop: the engine publishes on the loop, so that deliveries need no wake-up.
    """

    def __init__(self, *, on_loop: bool = False) -> None:
        self._on_loop = on_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Delivery] = deque()
        self._scheduled = False
        self._urgent = False
        self._published_at = 0.0

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on this loop from now on."""
        self._loop = loop

    def put(self, delivery: _Delivery) -> None:
        """Add a delivery; :meth:`publish` sends it off."""
        if not isinstance(delivery, Batch):
            self._urgent = True
        self._waiting.append(delivery)

    def publish_paced(self, now: float) -> None:
        """As :meth:`publish`, but tokens alone are held back when some were published just before.

        Args:
            now: reading of the engine's clock. It is called again soon: a stream whose tokens are held
                back takes its next step, or ends.
        """
        if self._urgent or now - self._published_at >= _TOKENS_WAIT_S:
            self._published_at = now
            self.publish()

    def publish(self) -> None:
        """Let the loop deliver what waits."""
        self._urgent = False
        if not self._waiting or self._scheduled or self._loop is None:
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
            logger.debug("%d deliveries after the loop closed", len(self._waiting))
            self._waiting.clear()

    def _deliver(self) -> None:
        self._scheduled = False
        waiting = self._waiting
        # Bounded by what is there now: the engine may put more than one callback can deliver.
        for _ in range(len(waiting)):
            delivery = waiting.popleft()
            if isinstance(delivery, Batch):
                _deliver_tokens(delivery)
            elif isinstance(delivery, Block):
                delivery.deliver()
            else:
                job, event = delivery
                if job.mailbox is None:
                    continue
                if isinstance(event, Outputs):
                    job.mailbox.put_outputs(job.index, event)
                else:
                    job.mailbox.put_end(job.index, event)
        if waiting:
            self.publish()


def _deliver_tokens(batch: Batch) -> None:
    woken: Mailbox | None = None
    for job, token in zip(batch.jobs, batch.tokens, strict=True):
        mailbox = job.mailbox
        if mailbox is not None:
            mailbox.put_token(job.index, token)
            if mailbox is not woken:  # readers run after this callback, so once is enough
                woken = mailbox
                mailbox.wake_reader()
