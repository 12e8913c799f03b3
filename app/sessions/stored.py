"""Stored sessions, as the layers pass them: keys, opaque records, and outcomes of writing them.

A record is bytes to a store; what is in them is ``app.sessions.record``'s business. Every
record has a revision, which each write raises by at least one, and by which writers exclude
each other: a write names the revision it saw, and loses when the store holds another.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    id: str
    expected: int
    stored: Stored
    live: bool = True
    snapshot: Snapshot | None = None
    keep_automatic: int = 0
    drop_snapshots: bool = False
    max_owned: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """Outcome of a :class:`Write`.

    Attributes:
        ok: whether it was applied. Writing the very bytes that are there already is applied too,
            so that a write whose answer was lost can be sent again. Two writers of the same bytes
            are both told so; who must be told apart puts something of its own into the record.
        current: what the store holds instead, when it was not applied; ``None`` when nothing.
        full: it was refused because the store holds as many live sessions as it may.
        crowded: it was refused because its owner has as many as ``max_owned``.
    """

    ok: bool
    current: Stored | None = None
    full: bool = False
    crowded: bool = False
