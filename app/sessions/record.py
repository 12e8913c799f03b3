"""What a session is at rest: one record, and its bytes.

    "RSR2" | header length | header JSON | row | last output | stored answer | CRC-32
    "RSR3" | the same, of each number the highest byte alone, deflated | the other three bytes | CRC-32

The second is for records that would not fit a page of a store, though their numbers do. The header names the
session, so a record that was cut, altered or filed under another id is found out. It guards against damage,
not against somebody who may write to the store.
"""

from __future__ import annotations

import math
import os
import random
import re
import secrets
import struct
import zlib
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.core.errors import CorruptSession

_MAGIC = b"RSR2"
_DEFLATED = b"RSR3"
_ROOM = 4040  # in a page of 4,096 bytes, beside what a store keeps with a record
_WINDOW = -12  # of 4,096 bytes, without a header
# Part of the second format.
_DICTIONARY = (
    b'0123456789abcdef{"seq":"outputs":[{},"origin":{},"metadata":{},"owner":"","state":"open","row":,"last":null,'
    b'"call":[],"memory":{"ttl_s":3600.0,"context":{"created_at":,"updated_at":,"revision":,"step":,"graph":"'
    b'@1","model":"{"id":"","writer":"'
)
_U32 = struct.Struct("<I")
_CHANCE_BITS = 16
# Writes are idempotent by value: a store that holds the very bytes says that they were written. So records
# name their writer, else two processes that apply equal events to one step would both be told so.
_WRITER = ""


def _name_writer() -> None:
    global _WRITER
    _WRITER = secrets.token_hex(8)


_name_writer()
os.register_at_fork(after_in_child=_name_writer)

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
NO_ROW: NDArray[np.float32] = np.zeros(0, np.float32)
"""The row of a session before its first step: the model's start row is taken."""


class SessionState(Enum):
    """Only an open session is ever changed, and then once into a tombstone: for a while its client learns
    when, why and after which step it ended, until the record is removed.
    """

    OPEN = "open"
    CLOSED = "closed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class LastCall:
    """The last applied call, so that its retry is told from another call: the number of the first step it
    wrote, a digest of its inputs, and the JSON bytes of its answer.
    """

    seq: int
    digest: str
    answer: bytes


@dataclass(frozen=True, slots=True, eq=False)
class SessionRecord:
    """One session.

    Attributes:
        model: ``name@version``.
        graph: sha256 of the model's graphs, which the row belongs to.
        created_at: seconds since the epoch, as ``updated_at``.
        ttl_s: how long it lives after a write.
        row: ``[S]`` float32, the recurrent state; empty before the first step.
        last: output of the last step, ``[...]`` float32; ``None`` before the first.
        context: what the task must remember besides, as JSON.
        memory: what it remembers of outputs, likewise.
        origin: the context it was opened with, when it was opened at step 0.
        owner: name of the key that made it; empty without keys.
    """

    id: str
    model: str
    graph: str
    revision: int
    step: int
    created_at: float
    updated_at: float
    ttl_s: float
    row: NDArray[np.float32]
    last: NDArray[np.float32] | None = None
    context: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    owner: str = ""
    call: LastCall | None = None
    state: SessionState = SessionState.OPEN
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return store_key(self.id, self.owner)

    @property
    def expires_at(self) -> float:
        return self.updated_at + self.ttl_s

    def after(self, now: float, **changes: Any) -> SessionRecord:
        revision = next_revision(self.revision, now)
        return replace(self, revision=revision, updated_at=now, **changes)

    def stepped(
        self,
        now: float,
        step: int,
        row: NDArray[np.float32],
        last: NDArray[np.float32] | None,
        context: dict[str, Any],
        call: LastCall,
        memory: dict[str, Any],
    ) -> SessionRecord:
        """The record of an open session after steps; written out, since it happens with each event."""
        return SessionRecord(
            self.id,
            self.model,
            self.graph,
            next_revision(self.revision, now),
            step,
            self.created_at,
            now,
            self.ttl_s,
            row,
            last,
            context,
            self.origin,
            self.metadata,
            self.owner,
            call,
            self.state,
            memory,
        )

    def ended(self, state: SessionState, now: float, keep_s: float) -> SessionRecord:
        empty: dict[str, Any] = {"row": NO_ROW, "last": None, "context": {}, "origin": None, "metadata": {}}
        empty["memory"] = {}
        return self.after(now, state=state, ttl_s=keep_s, call=None, **empty)


def next_revision(previous: int, now: float) -> int:
    """Greater than the one before (0 for a new session), and one that no other write has or will have.

    The nanosecond, and up to 66 microseconds by chance, fewer than lie between a write and one after its
    answer. So whoever remembers a record knows an older one when it sees it, and cannot take a newer one for
    its own, also where the store has lost writes and others
    have taken their place, or where a session was forgotten and its id has come again.
    """
    return max(previous, int(now * 1e9)) + 1 + random.getrandbits(_CHANCE_BITS)


_AS_IT_IS = (
    *("id", "model", "graph", "revision", "step", "created_at", "updated_at", "ttl_s"),
    *("context", "origin", "metadata", "owner"),
)
"""Fields that are in the header as they are."""


def is_session_id(text: str) -> bool:
    return ID.fullmatch(text) is not None


def store_key(id: str, owner: str) -> str:
    """What a store holds a session under: each owner has ids of its own, so that none learns which another
    has. Neither an id nor an owner has a slash.
    """
    return f"{owner}/{id}" if owner else id


def owner_of_key(key: str) -> str:
    return key.rpartition("/")[0]


def id_of_key(key: str) -> str:
    return key.rpartition("/")[2]


def encode_record(record: SessionRecord) -> bytes:
    # In this order, so that a record has the bytes that it had with every earlier version.
    header: dict[str, Any] = {"id": record.id, "writer": _WRITER}
    header |= {name: getattr(record, name) for name in _AS_IT_IS}
    header |= {"state": record.state.value, "row": 0, "last": None}
    header["call"] = None if record.call is None else [record.call.seq, record.call.digest]
    if record.memory:
        header["memory"] = record.memory
    answer = b"" if record.call is None else record.call.answer
    packed = pack(header, record.row, record.last)
    body = b"".join((_MAGIC, packed, answer))
    num_bytes = record.row.nbytes + (0 if record.last is None else record.last.nbytes)
    if num_bytes < _ROOM < len(body):
        cut = len(packed) - num_bytes
        body = _deflated(packed[:cut], packed[cut:], answer)
    return body + _U32.pack(zlib.crc32(body))


def decode_record(id: str, data: bytes) -> SessionRecord:
    """The record in bytes that :func:`encode_record` made for this id; raises ``CorruptSession``."""
    body, found = data[: -_U32.size], data[-_U32.size :]
    if body[: len(_MAGIC)] not in (_MAGIC, _DEFLATED) or _U32.pack(zlib.crc32(body)) != found:
        raise CorruptSession(id)
    if body.startswith(_DEFLATED):
        body = _inflated(body)
    header, row, last, end = unpack(body, len(_MAGIC))
    if header["id"] != id:
        raise CorruptSession(id)
    call = None
    if header["call"] is not None:
        seq, digest = header["call"]
        call = LastCall(seq, digest, body[end:])
    return SessionRecord(
        **{name: header[name] for name in _AS_IT_IS},
        row=row,
        last=last,
        call=call,
        state=SessionState(header["state"]),
        memory=header.get("memory", {}),
    )


def pack(header: dict[str, Any], row: NDArray[np.float32], last: NDArray[np.float32] | None) -> bytes:
    """The header, which gets the sizes of the arrays, and the arrays."""
    header["row"] = row.size
    header["last"] = None if last is None else list(last.shape)
    head = orjson.dumps(header)
    return b"".join((_U32.pack(len(head)), head, row.tobytes(), b"" if last is None else last.tobytes()))


def unpack(
    data: bytes, start: int = 0
) -> tuple[dict[str, Any], NDArray[np.float32], NDArray[np.float32] | None, int]:
    """Header, row, last output, and where the bytes end that :func:`pack` made."""
    (length,) = _U32.unpack_from(data, start)
    start += _U32.size
    header = orjson.loads(data[start : start + length])
    start += length
    row = np.frombuffer(data, np.float32, header["row"], start)
    start += row.nbytes
    last = None
    if header["last"] is not None:
        last = np.frombuffer(data, np.float32, math.prod(header["last"]), start).reshape(header["last"])
        start += last.nbytes
    return header, row, last, start


def _deflated(head: bytes, arrays: bytes, answer: bytes) -> bytes:
    """Signs and exponents take few values: of a row's numbers the highest bytes shrink to half."""
    numbers = np.frombuffer(arrays, np.uint8).reshape(-1, 4)
    deflate = zlib.compressobj(wbits=_WINDOW, memLevel=4, zdict=_DICTIONARY)
    smaller = deflate.compress(b"".join((head, numbers[:, 3].tobytes(), answer))), deflate.flush()
    return b"".join((_DEFLATED, *smaller, numbers[:, :3].tobytes()))


def _inflated(body: bytes) -> bytes:
    inflate = zlib.decompressobj(_WINDOW, _DICTIONARY)
    told = inflate.decompress(body[len(_DEFLATED) :])
    numbers = np.empty((len(inflate.unused_data) // 3, 4), np.uint8)
    start = _U32.size + _U32.unpack_from(told)[0]
    end = start + len(numbers)
    numbers[:, 3] = np.frombuffer(told[start:end], np.uint8)
    numbers[:, :3] = np.frombuffer(inflate.unused_data, np.uint8).reshape(-1, 3)
    return b"".join((_MAGIC, told[:start], numbers.tobytes(), told[end:]))
