"""A session store: keys, opaque records, and outcomes of writing them.

Writers exclude each other by revisions: each write raises a record's by at least one, names the one it saw,
and loses when the store holds another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, TypeVarTuple

# Two of them and a little more must fit in an LMDB key of 511 bytes.
MAX_NAME_BYTES = 200
HEADER = struct.Struct(">QdB")
"""Before a record: revision, expires_at, live. Before a snapshot: step, created_at, automatic.

The stores compare and sort by these bytes, in Python and in Lua.
"""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds under an id: opaque bytes, and when they may be swept (seconds since the epoch)."""

    revision: int
    expires_at: float
    record: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of an earlier record, kept under a name that is unique in its session; ``record`` is empty in
    listings.
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
        expected: revision the store must hold; 0 means the id must be free.
        live: false for a tombstone, which does not count against ``max_sessions``.
        snapshot: put in the same change; it takes the place of its namesake, but an automatic one never
            that of a named one.
        keep_automatic: how many automatic snapshots stay, the youngest ones, when ``snapshot`` is
            automatic; without one nothing is taken away.
        drop_snapshots: remove all snapshots of the session first, in the same change.
        numbered: whether the caller says which step it is. One who does not is refused where the store may
            have lost steps that it acknowledged, if it can know.
        max_owned: live sessions that may share the part of the id before its slash, which names
            their owner; looked at when a session of an owner begins to live. ``None``: any number.

    Raises:
        ValueError: a name does not have 1 to 200 bytes of UTF-8 without NUL (the edge refuses such names),
            or the revision does not grow.
    """

    id: str
    expected: int
    stored: Stored
    live: bool = True
    snapshot: Snapshot | None = None
    keep_automatic: int = 0
    drop_snapshots: bool = False
    max_owned: int | None = None
    numbered: bool = True

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
        ok: whether it was applied. Writes are idempotent by value: the very bytes that are there already are
            applied too, so that a write whose answer was lost can be sent again.
        current: what the store holds instead, when it was not applied; ``None`` when nothing.
        full: it was refused because the store holds as many live sessions as it may.
        crowded: it was refused because its owner has as many as ``max_owned``.
        behind: it was refused because steps may be lost; ``current`` is what is left.
        unsure: it was refused because that will be known in some seconds.
    """

    ok: bool
    current: Stored | None = None
    full: bool = False
    crowded: bool = False
    behind: bool = False
    unsure: bool = False


class SessionStore(Protocol):
    """Holds sessions. Called by one thread at a time; every call may block and has a deadline of its own.

    Every method raises ``StoreUnavailable`` when the store cannot be reached or does not answer. Whether a
    change was applied is not known then, and sending it again is safe.
    """

    def get(self, ids: Sequence[str]) -> list[Stored | None]: ...

    def write(self, writes: Sequence[Write]) -> list[Written]:
        """Apply changes as one group, each by itself; an id appears at most once in it."""
        ...

    def list_ids(self, after: str, limit: int) -> list[tuple[str, Stored]]:
        """Up to ``limit`` live sessions with an id greater than ``after``, in order of id."""
        ...

    def snapshots(self, id: str) -> list[Snapshot]:
        """Oldest first, without their records."""
        ...

    def snapshot(self, id: str, name: str) -> Snapshot | None: ...

    def due(self, now: float, limit: int) -> list[tuple[str, Stored]]:
        """Up to ``limit`` records, live or not, that may have expired by ``now``.

        One whose time has come later than first planned is planned anew instead (second chance), so that a
        step need not touch the plan; a bounded number in one call, so a later call may find more. What was
        returned is returned again until it is written with a later time, or removed.
        """
        ...

    def remove(self, ids: Sequence[tuple[str, int]]) -> None:
        """Forget records and their snapshots, each only if it still has the given revision."""
        ...

    def count(self) -> int: ...

    def check(self) -> float:
        """The time, in seconds since the epoch, by the clock that all who use the store share."""
        ...

    def close(self) -> None: ...


class AsyncStore(Protocol):
    """A session store on the event loop; :class:`~app.sessions.stores.worker.StoreWorker` is one.

    Reads and writes of many callers share one call of the store. All else is named:
    ``await store.call(SessionStore.due, now, 10)``.
    """

    async def get(self, ids: Sequence[str]) -> list[Stored | None]: ...

    async def write(self, writes: Sequence[Write]) -> list[Written]: ...

    async def call(self, method: Callable[[SessionStore, *Ts], T], *args: *Ts) -> T: ...


def pack_record(stored: Stored, live: bool) -> bytes:
    return HEADER.pack(stored.revision, stored.expires_at, live) + stored.record


def unpack_record(value: bytes | memoryview) -> tuple[Stored, bool]:
    revision, expires_at, live = HEADER.unpack_from(value)
    return Stored(revision, expires_at, bytes(value[HEADER.size :])), bool(live)


def pack_snapshot(snapshot: Snapshot) -> bytes:
    return HEADER.pack(snapshot.step, snapshot.created_at, snapshot.automatic) + snapshot.record


def unpack_snapshot(name: str, value: bytes | memoryview, *, with_record: bool) -> Snapshot:
    """``value`` may end with its header if the record is not wanted."""
    step, created_at, automatic = HEADER.unpack_from(value)
    record = bytes(value[HEADER.size :]) if with_record else b""
    return Snapshot(name, step, bool(automatic), created_at, record)


def by_age(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Oldest first; the order in which automatic ones make room."""
    return sorted(snapshots, key=lambda snapshot: (snapshot.created_at, snapshot.step, snapshot.name))


def owner_of(key: bytes) -> bytes:
    return key.rpartition(b"/")[0]


def _check_name(name: str) -> None:
    encoded = name.encode()
    if not 0 < len(encoded) <= MAX_NAME_BYTES or b"\0" in encoded:
        raise ValueError(f"a name in a store has 1 to {MAX_NAME_BYTES} bytes and no NUL, not {name!r}")
