"""How records and snapshots lie in a store: a fixed header, then the opaque record.

    record    revision u64 | expires_at f64 | live u8          | record     (big-endian)
    snapshot  step u64     | created_at f64 | automatic u8     | record

The stores compare and sort by these bytes alone, in Python and in Lua, so both read one layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from app.sessions.stores.store import Snapshot, Stored, Write

HEADER = struct.Struct(">QdB")

# Two of them and a little more must fit in an LMDB key of 511 bytes.
MAX_NAME_BYTES = 200


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


def check_name(name: str) -> bytes:
    """An id's or a snapshot's name as UTF-8.

    Raises:
        ValueError: it is empty, longer than 200 bytes, or contains NUL; the edge refuses such names.
    """
    encoded = name.encode()
    if not 0 < len(encoded) <= MAX_NAME_BYTES or b"\0" in encoded:
        raise ValueError(f"a name in a store has 1 to {MAX_NAME_BYTES} bytes and no NUL, not {name!r}")
    return encoded


def check_write(write: Write) -> None:
    """Refuse what no caller may ask for, before it can share a group.

    Raises:
        ValueError: a name is not one, or the revision does not grow.
    """
    check_name(write.id)
    if write.snapshot is not None:
        check_name(write.snapshot.name)
    if write.stored.revision <= write.expected:
        raise ValueError(f"revision {write.stored.revision} of {write.id!r} does not follow {write.expected}")
