"""Sessions as a resource. Every change is a compare-and-set on the revision that was read, so whoever loses
a race is told, and nothing is half done.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from app.core.errors import CorruptSession, InvalidInput, RnnserveError, StoreUnavailable
from app.service.call import RequestClock, outcome_of
from app.service.catalog import Deployment
from app.service.inference import InferenceService
from app.sessions.access import Quota, SessionAccess, SessionObserver
from app.sessions.actions import SessionActions
from app.sessions.history import SessionHistory
from app.sessions.limits import SessionLimits
from app.sessions.portable import StateSigner
from app.sessions.record import (
    SessionRecord,
    SessionState,
    decode_record,
    id_of_key,
    next_revision,
    owner_of_key,
    store_key,
)
from app.sessions.schema import CreateSession, ForkRequest, SessionInfo, SessionPage
from app.sessions.states import SessionStates
from app.sessions.steps.calls import Outcome, StepCall
from app.sessions.steps.queue import StepQueue
from app.sessions.steps.stepping import Stepper
from app.sessions.stores.store import AsyncStore, SessionStore, Write

logger = logging.getLogger(__name__)

_ID_BYTES = 18
_DUE_BATCH = 256


class SessionService:
    """The session resource on top of the served models and a store.

    Args:
        quota: live sessions that an owner may have; ``None`` without a limit.
        waiting: given the keys of sessions, a context in which the current request waits for what is done to
            them; for whoever traces.
    """

    def __init__(
        self,
        inference: InferenceService,
        store: AsyncStore,
        signer: StateSigner,
        limits: SessionLimits,
        observe: SessionObserver,
        clock: Callable[[], float] = time.time,
        quota: Quota = lambda owner: None,
        waiting: Callable[[Sequence[str]], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._access = SessionAccess(inference, store, limits, observe, clock, quota)
        self.clock = clock
        self._limits = limits
        self._observe = observe
        self._stepper = Stepper(self._access)
        self._queue = StepQueue(self._stepper.apply)
        self._waiting = waiting
        self.history = SessionHistory(self._access)
        self.states = SessionStates(self._access, self._stepper, signer)
        self.actions = SessionActions(self._access, self._stepper)

    async def create(self, request: CreateSession, owner: str = "") -> SessionInfo:
        self._access.check_size("metadata", request.metadata)
        self._access.check_size("options", request.options)
        opened = await self.states.opened(request.model, request.task, request.options, request.state)
        now = self._access.clock()
        record = SessionRecord(
            id=request.id or secrets.token_hex(_ID_BYTES),
            revision=next_revision(0, now),
            created_at=now,
            updated_at=now,
            ttl_s=self._ttl(request.ttl_seconds),
            metadata=request.metadata,
            owner=owner,
            model=opened.model,
            graph=opened.graph,
            step=opened.step,
            row=opened.row,
            last=opened.last,
            context=opened.context,
            memory=opened.memory,
            origin=opened.context if opened.step == 0 else None,
        )
        await self._access.insert(record)
        self._observe.session("created" if request.state is None else "imported")
        return self._access.info(record)

    async def check(self, deployment: Deployment, options: dict[str, Any], inputs: Any) -> None:
        """Refuse what a new session could not be opened and fed with; nothing is done."""
        context = (await deployment.loaded()).session.open(options)
        self._stepper.encode(deployment, context, 0, inputs)

    async def view(self, id: str, owner: str = "") -> SessionInfo:
        return self._access.info(await self._access.open(id, owner))

    async def expiries(self, ids: Sequence[str], owner: str = "") -> list[float | RnnserveError]:
        """When each session ends unless it is stepped, or why it cannot be used."""
        found: list[float | RnnserveError] = []
        keys = [store_key(id, owner) for id in ids]
        for id, stored in zip(ids, await self._access.store.get(keys), strict=True):
            try:
                found.append(self._access.decode(id, stored, owner).expires_at)
            except RnnserveError as error:
                found.append(error)
        return found

    async def page(self, after: str, limit: int, owner: str = "") -> SessionPage:
        """Open sessions of an owner with an id greater than ``after``, in order of id."""
        limit = min(limit, self._limits.session_max_page)
        first = store_key("", owner)
        listed = await self._access.store.call(SessionStore.list_ids, first + after, limit)
        held = [(key[len(first) :], stored) for key, stored in listed if owner_of_key(key) == owner]
        shown: list[SessionInfo] = []
        for id, stored in held:
            try:
                shown.append(self._access.info(self._access.decode(id, stored, owner)))
            except RnnserveError:
                continue  # just ended, or damaged: reading it by its id says which
        last = listed[-1][0] if len(listed) == limit else ""
        following = last[len(first) :] if last and last.startswith(first) else None
        return SessionPage.model_construct(sessions=shown, next=following)

    async def close(self, id: str, owner: str = "") -> None:
        """End a session; its id answers 410 for a while."""

        async def change(record: SessionRecord) -> Write:
            return self._access.ending(record, SessionState.CLOSED)

        await self._access.change(id, owner, change)
        self._stepper.forget(store_key(id, owner))
        self._observe.session("closed")

    async def steps(
        self, calls: Sequence[StepCall], owner: str = "", clock: RequestClock | None = None
    ) -> list[Outcome]:
        """Apply calls, each on its own; those on one session in their order.

        Raises:
            InvalidInput: there are too many.
            StoreUnavailable: the store answered none of them; with ``seq`` it is safe to send them again.
            Overloaded: too many calls wait.
        """
        if len(calls) > self._limits.session_max_batch_calls:
            raise InvalidInput(
                "steps",
                f"at most {self._limits.session_max_batch_calls} calls go together, got {len(calls)}",
                allowed={"max": self._limits.session_max_batch_calls},
            )
        began = time.perf_counter()
        try:
            waiting = self._waiting and self._waiting([store_key(call.id, owner) for call in calls])
            with waiting or nullcontext():
                outcomes = await self._queue.steps(calls, owner, clock)
        except RnnserveError as error:
            self._observe.session_calls(0, [outcome_of(error)] * len(calls), time.perf_counter() - began)
            raise
        errors = [outcome for outcome in outcomes if not isinstance(outcome, bytes)]
        num_ok = len(outcomes) - len(errors)
        self._observe.session_calls(num_ok, list(map(outcome_of, errors)), time.perf_counter() - began)
        if errors and not num_ok and all(isinstance(error, StoreUnavailable) for error in errors):
            raise errors[0]
        return outcomes

    async def stop(self) -> None:
        await self._queue.close()

    async def fork(self, id: str, request: ForkRequest, owner: str = "") -> SessionInfo:
        """An independent copy of the present state; snapshots stay with the original."""
        record = await self._access.open(id, owner)
        if request.metadata is not None:
            self._access.check_size("metadata", request.metadata)
        now = self._access.clock()
        copy = replace(
            record,
            id=request.id or secrets.token_hex(_ID_BYTES),
            revision=next_revision(0, now),
            created_at=now,
            updated_at=now,
            ttl_s=record.ttl_s if request.ttl_seconds is None else self._ttl(request.ttl_seconds),
            metadata=record.metadata if request.metadata is None else request.metadata,
            call=None,
        )
        await self._access.insert(copy)
        self._observe.session("forked")
        return self._access.info(copy)

    async def sweep(self) -> int:
        """End one bounded batch of sessions whose time has run out, or forget their tombstones; returns how
        many.
        """
        now = self._access.clock()
        due = await self._access.store.call(SessionStore.due, now, _DUE_BATCH)
        endings: list[Write] = []
        forgotten: list[tuple[str, int]] = []
        for key, stored in due:
            if stored.expires_at > now:
                continue
            try:
                record = decode_record(id_of_key(key), stored.record)
            except CorruptSession:
                self._observe.session("corrupt")
                logger.error("session %s is damaged and has expired; it is forgotten", key)
                forgotten.append((key, stored.revision))
                continue
            if record.state is SessionState.OPEN:
                endings.append(self._access.ending(record, SessionState.EXPIRED))
            else:
                forgotten.append((key, stored.revision))
        if endings:
            written = await self._access.store.write(endings)
            for write in endings:
                self._stepper.forget(write.id)
            self._observe.session("expired", sum(outcome.ok for outcome in written))
        if forgotten:
            await self._access.store.call(SessionStore.remove, forgotten)
        return len(due)

    def _ttl(self, asked: float | None) -> float:
        if asked is None:
            return self._limits.session_ttl_s
        if asked > self._limits.session_max_ttl_s:
            raise InvalidInput(
                "ttl_seconds",
                f"a session may wait at most {self._limits.session_max_ttl_s:g} seconds, not {asked:g}",
                allowed={"max": self._limits.session_max_ttl_s},
            )
        return asked
