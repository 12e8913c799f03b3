"""What lies in an LMDB session store, and how one transaction reads and changes it.

    records    id                         -> planned f64 | record (see ``store``)
    live       id                         -> nothing; the index of listings and the count
    plan       planned time f64, then id  -> nothing; when ``due`` looks at a record
    snapshots  id NUL name                -> snapshot
    owners     owner                      -> u64, live sessions whose ids begin with it and a slash

What a table returns is good until the transaction writes: everything that leaves this file is a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lmdb

from app.sessions.stores.store import (
    HEADER,
    MAX_NAME_BYTES,
    Snapshot,
    Stored,
    Write,
    Written,
    by_age,
    owner_of,
    pack_record,
    pack_snapshot,
    unpack_record,
    unpack_snapshot,
)

NAMES = (b"records", b"live", b"plan", b"snapshots", b"owners")

_PLANNED = struct.Struct(">d")
_COUNT = struct.Struct(">Q")

if TYPE_CHECKING:
    # Generic in the type stubs only.
    Transaction = lmdb.Transaction[memoryview]
else:
    Transaction = lmdb.Transaction
# py-lmdb does not export the type of a database handle.
Handle = Any


@dataclass(frozen=True, slots=True)
class Tables:
    records: Handle
    live: Handle
    plan: Handle
    snapshots: Handle
    owners: Handle


def read(txn: Transaction, db: Tables, ids: Sequence[str]) -> list[Stored | None]:
    return [_stored(txn, db, id.encode()) for id in ids]


def write(txn: Transaction, db: Tables, changes: Sequence[Write], max_sessions: int) -> list[Written]:
    return [_write(txn, db, change, max_sessions) for change in changes]


def _write(txn: Transaction, db: Tables, change: Write, max_sessions: int) -> Written:
    key = change.id.encode()
    value = pack_record(change.stored, change.live)
    held = _held(txn, db, key)
    planned, revision, was_live = 0.0, 0, False
    if held is not None:
        planned = _PLANNED.unpack_from(held)[0]
        revision, _, was_live = HEADER.unpack_from(held, _PLANNED.size)
        if revision == change.stored.revision and bytes(held[_PLANNED.size :]) == value:
            return Written(ok=True)
    if revision != change.expected:
        return Written(ok=False, current=_unpack(held))
    begins = change.live and not was_live
    if begins and count(txn, db) >= max_sessions:
        return Written(ok=False, current=_unpack(held), full=True)
    owner = owner_of(key)
    if begins and owner and change.max_owned is not None and owned(txn, db, owner) >= change.max_owned:
        return Written(ok=False, current=_unpack(held), crowded=True)
    if held is None or was_live != change.live or change.stored.expires_at < planned:
        if held is not None:
            txn.delete(_plan_key(planned, key), db=db.plan)
        planned = change.stored.expires_at
        txn.put(_plan_key(planned, key), b"", db=db.plan)
    txn.put(key, _PLANNED.pack(planned) + value, db=db.records)
    if begins:
        txn.put(key, b"", db=db.live)
        _add_owned(txn, db, owner, 1)
    elif was_live and not change.live:
        txn.delete(key, db=db.live)
        _add_owned(txn, db, owner, -1)
    if change.drop_snapshots:
        _drop_snapshots(txn, db, key)
    if change.snapshot is not None:
        _put_snapshot(txn, db, key, change.snapshot, change.keep_automatic)
    return Written(ok=True)


def remove(txn: Transaction, db: Tables, ids: Sequence[tuple[str, int]]) -> None:
    for id, revision in ids:
        key = id.encode()
        held = _held(txn, db, key)
        if held is None or HEADER.unpack_from(held, _PLANNED.size)[0] != revision:
            continue
        txn.delete(_plan_key(_PLANNED.unpack_from(held)[0], key), db=db.plan)
        txn.delete(key, db=db.records)
        if txn.delete(key, db=db.live):
            _add_owned(txn, db, owner_of(key), -1)
        _drop_snapshots(txn, db, key)


def count(txn: Transaction, db: Tables) -> int:
    return txn.stat(db.live)["entries"]


def owned(txn: Transaction, db: Tables, owner: bytes) -> int:
    held = txn.get(owner, db=db.owners)
    return 0 if held is None else int(_COUNT.unpack(held)[0])


def page(txn: Transaction, db: Tables, after: str, limit: int) -> list[tuple[str, Stored]]:
    # The least key that is greater than another one is that with a NUL behind.
    first = after.encode()[:MAX_NAME_BYTES] + b"\0" if after else b""
    found: list[tuple[str, Stored]] = []
    for key in _keys(txn, db.live, first):
        if len(found) == limit:
            break
        stored = _stored(txn, db, key)
        if stored is not None:
            found.append((key.decode(), stored))
    return found


def due(
    txn: Transaction, db: Tables, now: float, limit: int, max_stale: int
) -> tuple[list[tuple[str, Stored]], list[bytes]]:
    """Records whose time has come, and keys of the plan whose records live longer by now."""
    last = _plan_key(now, b"\xff")  # no id has this byte
    found: list[tuple[str, Stored]] = []
    stale: list[bytes] = []
    for key in _keys(txn, db.plan, b""):
        if key > last or len(found) == limit or len(stale) == max_stale:
            break
        stored = _stored(txn, db, key[_PLANNED.size :])
        if stored is not None and stored.expires_at <= now:
            found.append((key[_PLANNED.size :].decode(), stored))
        else:
            stale.append(key)
    return found, stale


def replan(txn: Transaction, db: Tables, stale: Sequence[bytes]) -> None:
    """Move entries of the plan to when their records expire now; they may have changed since."""
    for old in stale:
        key = old[_PLANNED.size :]
        held = _held(txn, db, key)
        if held is None:
            txn.delete(old, db=db.plan)
        elif _plan_key(_PLANNED.unpack_from(held)[0], key) == old:
            value = bytes(held[_PLANNED.size :])
            planned = HEADER.unpack_from(value)[1]
            txn.delete(old, db=db.plan)
            txn.put(_plan_key(planned, key), b"", db=db.plan)
            txn.put(key, _PLANNED.pack(planned) + value, db=db.records)


def snapshots(txn: Transaction, db: Tables, id: str) -> list[Snapshot]:
    return by_age(_snapshots(txn, db, id.encode()))


def snapshot(txn: Transaction, db: Tables, id: str, name: str) -> Snapshot | None:
    key = id.encode() + b"\0" + name.encode()
    value = txn.get(key, db=db.snapshots) if len(key) <= 2 * MAX_NAME_BYTES + 1 else None
    return None if value is None else unpack_snapshot(name, value, with_record=True)


def _add_owned(txn: Transaction, db: Tables, owner: bytes, change: int) -> None:
    if not owner:
        return
    count = owned(txn, db, owner) + change
    if count > 0:
        txn.put(owner, _COUNT.pack(count), db=db.owners)
    else:
        txn.delete(owner, db=db.owners)


def _held(txn: Transaction, db: Tables, key: bytes) -> memoryview | None:
    """The value under an id; none under what is no name."""
    return txn.get(key, db=db.records) if 0 < len(key) <= MAX_NAME_BYTES else None


def _unpack(held: memoryview | None) -> Stored | None:
    return None if held is None else unpack_record(held[_PLANNED.size :])[0]


def _stored(txn: Transaction, db: Tables, key: bytes) -> Stored | None:
    return _unpack(_held(txn, db, key))


def _plan_key(time: float, key: bytes) -> bytes:
    # Doubles that are not negative sort by their big-endian bytes.
    return _PLANNED.pack(max(time, 0.0)) + key


def _keys(txn: Transaction, table: Handle, first: bytes) -> Iterator[bytes]:
    cursor = txn.cursor(db=table)
    more = cursor.set_range(first) if first else cursor.first()
    while more:
        yield bytes(cursor.key())
        more = cursor.next()


def _snapshots(txn: Transaction, db: Tables, key: bytes) -> Iterator[Snapshot]:
    prefix = key + b"\0"
    cursor = txn.cursor(db=db.snapshots)
    more = len(key) <= MAX_NAME_BYTES and cursor.set_range(prefix)
    while more and (name := bytes(cursor.key())).startswith(prefix):
        yield unpack_snapshot(name[len(prefix) :].decode(), cursor.value(), with_record=False)
        more = cursor.next()


def _put_snapshot(txn: Transaction, db: Tables, key: bytes, new: Snapshot, keep_automatic: int) -> None:
    prefix = key + b"\0"
    name = prefix + new.name.encode()
    held = txn.get(name, db=db.snapshots)
    if held is None or not new.automatic or unpack_snapshot("", held, with_record=False).automatic:
        txn.put(name, pack_snapshot(new), db=db.snapshots)
    if new.automatic:
        automatic = [each for each in by_age(_snapshots(txn, db, key)) if each.automatic]
        for old in automatic[: max(0, len(automatic) - keep_automatic)]:
            txn.delete(prefix + old.name.encode(), db=db.snapshots)


def _drop_snapshots(txn: Transaction, db: Tables, key: bytes) -> None:
    for each in list(_snapshots(txn, db, key)):
        txn.delete(key + b"\0" + each.name.encode(), db=db.snapshots)
