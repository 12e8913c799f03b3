"""Reading a session and deciding whether this caller and this server may go on with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from app.core.errors import (
    CorruptSession,
    InvalidInput,
    ModelMismatch,
    SequenceConflict,
    SessionExists,
    SessionGone,
    SessionLimit,
    StoreFull,
    UnknownSession,
)
from app.service.catalog import Deployment
from app.service.inference import InferenceService
from app.sessions.limits import SessionLimits
from app.sessions.portable import PortableState
from app.sessions.record import (
    SessionRecord,
    SessionState,
    decode_record,
    encode_record,
    next_revision,
    store_key,
)
from app.sessions.schema import SessionInfo
from app.sessions.stores.store import AsyncStore, Snapshot, Stored, Write

Quota = Callable[[str], int | None]

# A session that somebody steps on all the time may change between reading and writing it.
_ATTEMPTS = 5


class SessionObserver(Protocol):
    def session(self, event: str, count: int = 1) -> None:
        """``created``, ``forked``, ``closed``, ``expired``, ``conflict``, ``replayed``, ``rewound``,
        ``migrated``, ``snapshot``, ``exported``, ``imported``, ``quarantined``, ``corrupt``, ``lost`` or
        ``refused`` happened.
        """
        ...

    def session_calls(self, ok: int, failed: Sequence[str], seconds: float) -> None:
        """Step calls that came together ended: how many well, and the outcomes of the others."""
        ...

    def session_steps(self, model: str, count: int) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class SessionAccess:
    """Opens stored sessions, and is what the parts of the session service share. ``clock`` gives seconds
    since the epoch.
    """

    inference: InferenceService
    store: AsyncStore
    limits: SessionLimits
    observe: SessionObserver
    clock: Callable[[], float]
    quota: Quota

    def decode(self, id: str, stored: Stored | None, owner: str) -> SessionRecord:
        """The open session in what a store held, for its owner.

        Raises:
            UnknownSession: there is none, or it is another owner's.
            SessionGone: it has ended, or its time has run out.
            CorruptSession: the record is damaged.
        """
        if stored is None:
            raise UnknownSession(id)
        try:
            record = decode_record(id, stored.record)
        except CorruptSession:
            self.observe.session("corrupt")
            raise
        if record.owner != owner:
            raise UnknownSession(id)
        if record.state is not SessionState.OPEN:
            raise SessionGone(id, record.state.value, iso(record.updated_at), record.step)
        if record.expires_at <= self.clock():
            raise SessionGone(id, SessionState.EXPIRED.value, iso(record.expires_at), record.step)
        return record

    async def open(self, id: str, owner: str) -> SessionRecord:
        (stored,) = await self.store.get([store_key(id, owner)])
        return self.decode(id, stored, owner)

    def deployment(self, state: SessionRecord | PortableState) -> Deployment:
        """The model version that a state's row belongs to; raises ``ModelMismatch``."""
        deployments = self.inference.catalog.deployments
        found = deployments.get(state.model)
        if found is not None and found.networks == state.graph:
            return found
        what = f"session {state.id!r}" if isinstance(state, SessionRecord) else "the state"
        if found is not None:
            raise ModelMismatch(f"{what} belongs to another graph than the {state.model} that is served here")
        served = ", ".join(deployments) or "none"
        raise ModelMismatch(f"{what} belongs to {state.model}, which is not served here (served: {served})")

    async def insert(self, record: SessionRecord) -> None:
        """Store a new session; raises ``SequenceConflict`` (the id is in use), ``SessionLimit`` and
        ``StoreFull``.
        """
        most = self.quota(record.owner)
        (written,) = await self.store.write([Write(record.key, 0, stored_of(record), max_owned=most)])
        held = None if written.current is None else decode_record(record.id, written.current.record)
        if held is not None and (held.state is not SessionState.OPEN or held.expires_at <= self.clock()):
            # An ended session leaves its id to a new one.
            again = replace(record, revision=next_revision(held.revision, record.updated_at))
            (written,) = await self.store.write(
                [Write(record.key, held.revision, stored_of(again), drop_snapshots=True, max_owned=most)]
            )
        if written.full:
            self.observe.session("refused")
            raise StoreFull("the server holds as many sessions as it may", retry_after_s=60.0)
        if written.crowded:
            self.observe.session("refused")
            raise SessionLimit(f"at most {most} sessions may be open with this key", retry_after_s=5.0)
        if not written.ok:
            step = 0 if held is None else held.step
            raise SessionExists(f"session {record.id!r} exists already", step)

    async def change(
        self, id: str, owner: str, change: Callable[[SessionRecord], Awaitable[Write]]
    ) -> SessionRecord:
        """Apply a change to the present record, again when somebody stepped in between."""
        step = 0
        for _ in range(_ATTEMPTS):
            record = await self.open(id, owner)
            step = record.step
            write = await change(record)
            (written,) = await self.store.write([write])
            if written.ok:
                return decode_record(id, write.stored.record)
        raise SequenceConflict(f"session {id!r} is changed by others all the time; try again", step)

    def info(self, record: SessionRecord) -> SessionInfo:
        deployment = self.inference.catalog.deployments.get(record.model)
        return SessionInfo.model_construct(
            id=record.id,
            model=record.model,
            task=deployment.manifest.task if deployment else None,
            step=record.step,
            created_at=iso(record.created_at),
            updated_at=iso(record.updated_at),
            expires_at=iso(record.expires_at),
            metadata=record.metadata,
        )

    def check_size(self, field: str, value: dict[str, Any]) -> None:
        """Refuse metadata or options that are too large to keep."""
        size = len(as_json(field, value))
        if size > self.limits.session_max_metadata_bytes:
            raise InvalidInput(
                field,
                f"at most {self.limits.session_max_metadata_bytes} bytes of JSON are kept, got {size}",
                allowed={"max": self.limits.session_max_metadata_bytes},
            )

    def replacing(
        self,
        before: SessionRecord,
        after: SessionRecord,
        name: str | None = None,
        *,
        automatic: bool = False,
        numbered: bool = True,
    ) -> Write:
        """The write that puts one record in another's place; with a name, also as a snapshot."""
        stored = stored_of(after)
        snapshot = None
        if name is not None:
            snapshot = Snapshot(name, after.step, automatic, after.updated_at, stored.record)
        keep = self.limits.session_keep_automatic
        return Write(
            before.key, before.revision, stored, snapshot=snapshot, keep_automatic=keep, numbered=numbered
        )

    def ending(self, record: SessionRecord, state: SessionState) -> Write:
        """The write that turns a session into a tombstone."""
        tombstone = record.ended(state, self.clock(), self.limits.session_tombstone_s)
        return Write(record.key, record.revision, stored_of(tombstone), live=False, drop_snapshots=True)


def stored_of(record: SessionRecord) -> Stored:
    return Stored(record.revision, record.expires_at, encode_record(record))


def as_json(field: str, value: Any, option: int | None = None) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(field, "a number is too large or a text is not valid Unicode") from error


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
