"""A session store: keys, opaque records, and outcomes of writing them.

A record is bytes to a store; what is in them is ``app.sessions.record``'s business. Every
record has a revision, which each write raises by at least one, and by which writers exclude
each other: a write names the revision it saw, and loses when the store holds another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, Protocol, TypeVar

# Two of them and a little more must fit in an LMDB key of 511 bytes.
MAX_NAME_BYTES = 200
HEADER = struct.Struct(">QdB")
"""Before a record: revision, expires_at, live. Before a snapshot: step, created_at, automatic.

The stores compare and sort by these bytes, in Python and in Lua.
"""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds under an id.

    Attributes:
        revision: of the record, at least 1.
        expires_at: when it may be swept, seconds since the epoch.
        record: opaque bytes.
    """

    revision: int
    expires_at: float
    record: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A kept copy of an earlier record.

    Attributes:
        name: unique in its session.
        step: of the record it holds.
        automatic: made by the server; the oldest of these make room for new ones.
        created_at: seconds since the epoch.
        record: opaque bytes; empty in listings.
    """

    name: str
    step: int
    automatic: bool
    created_at: float
    record: bytes = b""


@dataclass(frozen=True, slots=True)
class Write:
    """One session's change, applied whole or not at all.

    Attributes:
        id: of the session.
        expected: revision the store must hold; 0 means the id must be free.
        stored: what to hold next; its revision is larger than ``expected``.
        live: false for a tombstone, which remembers why a session ended; it does not count
            against ``max_sessions``.
        snapshot: a snapshot to put in the same change; it takes the place of its namesake, but an
            automatic one never that of a named one.
        keep_automatic: how many automatic snapshots stay, the youngest ones, when ``snapshot`` is
            automatic; without one nothing is taken away.
        drop_snapshots: remove all snapshots of the session first, in the same change.
        max_owned: live sessions that may share the part of the id before its slash, which names
            their owner; looked at when a session of an owner begins to live. ``None``: any number.

    Raises:
        ValueError: an id or a snapshot's name does not have 1 to 200 bytes of UTF-8 without NUL (the
            edge refuses such names), or the revision does not grow.
    """

    id: str
    expected: int
    stored: Stored
    live: bool = True
    snapshot: Snapshot | None = None
    keep_automatic: int = 0
    drop_snapshots: bool = False
    max_owned: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.id)
        if self.snapshot is not None:
            _check_name(self.snapshot.name)
        if self.stored.revision <= self.expected:
            raise ValueError(
                f"revision {self.stored.revision} of {self.id!r} does not follow {self.expected}"
            )


@dataclass(frozen=True, slots=True)
class Written:
    """Outcome of a :class:`Write`.

    Attributes:
        ok: whether it was applied. Writing the very bytes that are there already is applied too,
            so that a write whose answer was lost can be sent again: writes are idempotent by value.
        current: what the store holds instead, when it was not applied; ``None`` when nothing.
        full: it was refused because the store holds as many live sessions as it may.
        crowded: it was refused because its owner has as many as ``max_owned``.
    """

    ok: bool
    current: Stored | None = None
    full: bool = False
    crowded: bool = False


class SessionStore(Protocol):
    """Holds sessions. Called by one thread at a time; every call may block and has a deadline of its own.

    Raises (every method):
        StoreUnavailable: the store cannot be reached or does not answer; whether a change was
            applied is not known, and sending it again is safe.
    """

    def get(self, ids: Sequence[str]) -> list[Stored | None]:
        """What is held under each id, in order."""
        ...

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Apply changes as one group, each by itself; the outcomes in order.

        When this returns, applied changes survive what the store's durability promises. An id
        appears at most once in a group.
        """
        ...

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        """Up to ``limit`` live sessions with an id greater than ``after``, in order of id."""
        ...

    def snapshots(self, id: str) -> list[Snapshot]:
        """The snapshots of a session, oldest first, without their records."""
        ...

    def snapshot(self, id: str, name: str) -> Snapshot | None:
        """One snapshot with its record."""
        ...

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        """Up to ``limit`` records, live or not, that may have expired by ``now``.

        A candidate whose time has come later than first planned is planned anew and not
        returned (second chance), so that a step need not touch the plan. One call plans a
        bounded number anew: when it returns fewer than ``limit``, a later call may find more.
        What it returned is returned again until it is written with a later time, or removed.
        """
        ...

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        """Forget records and their snapshots wholly, each only if it still has the given revision."""
        ...

    def count(self) -> int:
        """Live sessions held."""
        ...

    def check(self) -> None:
        """Return when the store answers."""
        ...

    def close(self) -> None:
        """Release what it holds open."""
        ...


class AsyncStore(Protocol):
    """A session store on the event loop; :class:`~app.sessions.stores.worker.StoreWorker` is one.

    Reads and writes of many callers share one call of the store. All else is named:
    ``await store.call(SessionStore.due, now, 10)``.

    Raises (every method):
        StoreUnavailable: the store does not answer.
    """

    async def get(self, ids: Sequence[str]) -> list[Stored | None]: ...

    async def write(self, writes: Sequence[Write]) -> list[Written]: ...

    async def call(
        self, method: Callable[Concatenate[SessionStore, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


def pack_record(stored: Stored, live: bool) -> bytes:
    return HEADER.pack(stored.revision, stored.expires_at, live) + stored.record


def unpack_record(value: bytes | memoryview) -> tuple[Stored, bool]:
    """What :func:`pack_record` packed: the record, and whether it is live."""
    revision, expires_at, live = HEADER.unpack_from(value)
    return Stored(revision, expires_at, bytes(value[HEADER.size :])), bool(live)


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """The bytes held under a session's id and the snapshot's name."""
    return HEADER.pack(snapshot.step, snapshot.created_at, snapshot.automatic) + snapshot.record


def unpack_snapshot(name: str, value: bytes | memoryview, *, with_record: bool) -> Snapshot:
    """What :func:`pack_snapshot` packed; ``value`` may end with its header if the record is not wanted."""
    step, created_at, automatic = HEADER.unpack_from(value)
    record = bytes(value[HEADER.size :]) if with_record else b""
    return Snapshot(name, step, bool(automatic), created_at, record)


def by_age(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Oldest first; the order in which automatic ones make room."""
    return sorted(snapshots, key=lambda snapshot: (snapshot.created_at, snapshot.step, snapshot.name))


def owner_of(key: bytes) -> bytes:
    """Whose session it is: the part of a stored id before its slash; empty where there is none."""
    return key.rpartition(b"/")[0]


def _check_name(name: str) -> None:
    encoded = name.encode()
    if not 0 < len(encoded) <= MAX_NAME_BYTES or b"\0" in encoded:
        raise ValueError(f"a name in a store has 1 to {MAX_NAME_BYTES} bytes and no NUL, not {name!r}")
