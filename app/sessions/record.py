"""What a session is at rest: one record, and its bytes.

    "RSR1" | header length | header JSON | row | last output | stored answer | blake2b-128

The digest covers everything before it and the session's id, so a record that was cut, altered
or filed under another id does not pass for one.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.core.errors import CorruptSession
from app.sessions.lifecycle import SessionEvent, SessionState, next_state

_MAGIC = b"RSR1"
_DIGEST_BYTES = 16

NO_ROW: NDArray[np.float32] = np.zeros(0, np.float32)
"""The row of a session before its first step: the model's start row is taken."""


@dataclass(frozen=True, slots=True)
class LastCall:
    """The last applied call, so that its retry is told from another call.

    Attributes:
        seq: number of the first step it wrote.
        digest: of its inputs.
        answer: JSON bytes that it was answered with.
    """

    seq: int
    digest: str
    answer: bytes


@dataclass(frozen=True, slots=True, eq=False)
class SessionRecord:
    """One session.

    Attributes:
        id: of the session.
        model: ``name@version``.
        graph: sha256 of the model's graph, which the row belongs to.
        revision: grows with every write.
        step: steps applied so far.
        created_at: seconds since the epoch, as the following times.
        updated_at: of the last write.
        ttl_s: how long it lives after a write.
        row: ``[S]`` float32, the recurrent state; empty before the first step.
        last: output of the last step, ``[...]`` float32; ``None`` before the first.
        context: what the task must remember besides, as JSON.
        origin: the context it was opened with, when it was opened at step 0; else ``None``.
        metadata: the client's own, as JSON.
        owner: name of the key that made it; empty without keys.
        call: the last call, or ``None``.
        state: where it is in its life.
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

    @property
    def expires_at(self) -> float:
        """When it ends if nothing is written."""
        return self.updated_at + self.ttl_s

    def after(self, event: SessionEvent, now: float, **changes: Any) -> SessionRecord:
        """The record after an event.

        Raises:
            IllegalTransition: the session's state does not allow it.
        """
        state = next_state(self.state, event)
        return replace(self, state=state, revision=self.revision + 1, updated_at=now, **changes)

    def ended(self, event: SessionEvent, now: float, keep_s: float) -> SessionRecord:
        """The tombstone that remembers why and after which step; kept for ``keep_s`` seconds."""
        empty: dict[str, Any] = {"row": NO_ROW, "last": None, "context": {}, "origin": None, "metadata": {}}
        return self.after(event, now, ttl_s=keep_s, call=None, **empty)


def encode_record(record: SessionRecord) -> bytes:
    """The record's bytes."""
    last = record.last
    header = {
        "model": record.model,
        "graph": record.graph,
        "revision": record.revision,
        "step": record.step,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "ttl_s": record.ttl_s,
        "context": record.context,
        "origin": record.origin,
        "metadata": record.metadata,
        "owner": record.owner,
        "state": record.state.value,
        "row": record.row.size,
        "last": None if last is None else list(last.shape),
        "call": None if record.call is None else [record.call.seq, record.call.digest],
    }
    head = orjson.dumps(header)
    parts = [_MAGIC, struct.pack("<I", len(head)), head, record.row.tobytes()]
    if last is not None:
        parts.append(last.tobytes())
    if record.call is not None:
        parts.append(record.call.answer)
    body = b"".join(parts)
    return body + _digest(record.id, body)


def decode_record(id: str, data: bytes) -> SessionRecord:
    """The record of bytes that :func:`encode_record` made for this id.

    Raises:
        CorruptSession: they are not that.
    """
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not body.startswith(_MAGIC) or _digest(id, body) != digest:
        raise CorruptSession(id)
    (length,) = struct.unpack_from("<I", body, len(_MAGIC))
    start = len(_MAGIC) + 4
    header = orjson.loads(body[start : start + length])
    place = start + length
    row = np.frombuffer(body, np.float32, header["row"], place)
    place += row.nbytes
    last = None
    if header["last"] is not None:
        last = np.frombuffer(body, np.float32, int(np.prod(header["last"])), place).reshape(header["last"])
        place += last.nbytes
    call = None
    if header["call"] is not None:
        seq, inputs_digest = header["call"]
        call = LastCall(seq, inputs_digest, body[place:])
    return SessionRecord(
        id=id,
        model=header["model"],
        graph=header["graph"],
        revision=header["revision"],
        step=header["step"],
        created_at=header["created_at"],
        updated_at=header["updated_at"],
        ttl_s=header["ttl_s"],
        row=row,
        last=last,
        context=header["context"],
        origin=header["origin"],
        metadata=header["metadata"],
        owner=header["owner"],
        call=call,
        state=SessionState(header["state"]),
    )


def _digest(id: str, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES, key=id.encode()[:64]).digest()
