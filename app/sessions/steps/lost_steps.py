"""Steps that the store acknowledged and has lost: whoever feeds the session is told so once."""

from __future__ import annotations

import logging
import time

from app.core.errors import RnnserveError, SequenceConflict, StoreUnavailable
from app.sessions.access import SessionAccess
from app.sessions.record import SessionRecord
from app.sessions.steps.calls import SessionQueue
from app.sessions.stores.store import Stored, Written

logger = logging.getLogger(__name__)

_LOG_S = 1.0


class LostSteps:
    def __init__(self, access: SessionAccess) -> None:
        self._access = access
        self._quiet_until = 0.0

    async def compare(
        self, queue: SessionQueue, known: SessionRecord, stored: Stored | None
    ) -> Stored | None:
        """What the store holds now; where it is older than what this process has seen in it, that is told."""
        if stored is None:
            # A session that was closed leaves a tombstone for a while.
            left = self._access.limits.session_tombstone_s - (self._access.clock() - known.updated_at)
            if known.expires_at > self._access.clock() and left > 0:
                self._count(f"session {queue.id!r} was at step {known.step}, and the store does not hold it")
            return None
        if stored.revision >= known.revision:
            return stored
        self._count(f"session {queue.id!r} was at step {known.step}, and the store has an older record of it")
        try:
            record = self._access.decode(queue.id, stored, queue.owner)
        except RnnserveError:
            return stored
        stored = await self._renew(record)
        text = (
            f"the session store has lost steps: session {queue.id!r} was at step {known.step} and is "
            f"at {record.step} now; whoever feeds it must go on from there"
        )
        queue.refuse_unnumbered(SequenceConflict(text, record.step))
        return stored

    async def refusal(self, record: SessionRecord, written: Written) -> RnnserveError:
        """What a caller without ``seq`` is told whose write was refused as ``behind`` or ``unsure``."""
        if written.unsure:
            text = (
                "the session store was replaced some seconds ago, and whether it has lost steps is not "
                "known yet; calls with seq are answered"
            )
            return StoreUnavailable(text, retry_after_s=3.0)
        self._count(f"session {record.id!r} is at step {record.step}, and may have been further")
        await self._renew(record)
        return SequenceConflict(
            f"the session store went back in time and may have lost steps of session {record.id!r}, which "
            f"is at step {record.step} now; whoever feeds it must go on from there",
            record.step,
        )

    async def _renew(self, record: SessionRecord) -> Stored | None:
        """Give it a new revision, so that no other process tells of it again; what the store holds then."""
        write = self._access.replacing(record, record.after(self._access.clock()))
        (written,) = await self._access.store.write([write])
        return write.stored if written.ok else written.current

    def _count(self, what: str) -> None:
        self._access.observe.session("lost")
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _LOG_S
            logger.error(
                "the session store has lost what was acknowledged: %s; "
                'rnnserve_session_events_total{event="lost"} counts such sessions',
                what,
            )
