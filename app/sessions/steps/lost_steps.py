"""Steps that the store acknowledged and has lost: whoever feeds the session is told so once."""

from __future__ import annotations

import contextlib
import logging
import time

from app.core.errors import CorruptSession, RnnserveError, SequenceConflict, StoreUnavailable
from app.sessions.access import SessionAccess
from app.sessions.record import SessionRecord, decode_record
from app.sessions.steps.calls import SessionQueue
from app.sessions.stores.store import Stored, Written

logger = logging.getLogger(__name__)

_LOG_S = 1.0
_MAX_TOLD = 10_000


class LostSteps:
    """Attributes:
    told: keys of sessions whose feeders this process has told; their next write is no surprise.
    """

    def __init__(self, access: SessionAccess) -> None:
        self._access = access
        self._quiet_until = 0.0
        self.told: set[str] = set()

    def compare(self, queue: SessionQueue, known: SessionRecord, stored: Stored | None) -> bool:
        """Notice that the store holds an older record than this process has seen in it; whether it does."""
        if stored is None:
            # A session that was closed leaves a tombstone for a while.
            left = self._access.limits.session_tombstone_s - (self._access.clock() - known.updated_at)
            if known.expires_at <= self._access.clock() or left <= 0:
                return False
        elif stored.revision >= known.revision:
            return False
        holds = "does not hold it" if stored is None else "has an older record of it"
        self._count(f"session {queue.id!r} was at step {known.step}, and the store {holds}")
        if stored is not None:
            with contextlib.suppress(CorruptSession):
                step = decode_record(queue.id, stored.record).step
                text = (
                    f"the session store has lost steps: session {queue.id!r} was at step {known.step} and is "
                    f"at {step} now; whoever feeds it must go on from there"
                )
                if len(self.told) < _MAX_TOLD:
                    self.told.add(queue.key)
                queue.refuse_unnumbered(SequenceConflict(text, step))
        return True

    async def refusal(self, record: SessionRecord, written: Written) -> RnnserveError:
        """What a caller without ``seq`` is told whose write was refused as ``behind`` or ``unsure``.

        The record gets a new revision, so that nobody is told again.
        """
        if written.unsure:
            text = (
                "the session store was replaced some seconds ago, and whether it has lost steps is not "
                "known yet; calls with seq are answered"
            )
            return StoreUnavailable(text, retry_after_s=3.0)
        self._count(f"session {record.id!r} is at step {record.step}, and may have been further")
        again = self._access.replacing(record, record.after(self._access.clock()))
        await self._access.store.write([again])
        return SequenceConflict(
            f"the session store went back in time and may have lost steps of session {record.id!r}, which "
            f"is at step {record.step} now; whoever feeds it must go on from there",
            record.step,
        )

    def _count(self, what: str) -> None:
        self._access.observe.session("lost")
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _LOG_S
            logger.error(
                "the session store has lost what was acknowledged: %s; "
                'rnnserve_session_events_total{event="lost"} counts such sessions',
                what,
            )
