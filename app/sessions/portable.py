"""The portable state: a session's state as a text that its client may keep.

    "rs1." base64url(payload) "." base64url(HMAC-SHA256 of everything before)

Nothing in it is looked at before the signature holds. It is not encrypted: whoever has it can read it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidState
from app.sessions.record import pack, unpack

_PREFIX = "rs1"
MAX_CHARS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class PortableState:
    """``model`` is ``name@version``, ``graph`` the sha256 of its graph, ``row`` ``[S]``, ``last`` the output
    of the last step, ``memory`` what the task remembers of outputs.
    """

    model: str
    graph: str
    step: int
    context: dict[str, Any]
    row: NDArray[np.float32]
    last: NDArray[np.float32] | None
    memory: dict[str, Any] = field(default_factory=dict)


class StateSigner:
    """Replicas that should accept each other's states share the secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"rnnserve portable state\0" + secret).digest()

    def seal(self, state: PortableState) -> str:
        header = {"model": state.model, "graph": state.graph, "step": state.step, "context": state.context}
        if state.memory:
            header["memory"] = state.memory
        payload = pack(header, state.row, state.last)
        body = f"{_PREFIX}.{_encode(payload)}"
        return f"{body}.{_encode(self._mac(body))}"

    def open(self, text: str) -> PortableState:
        prefix, _, rest = text.partition(".")
        payload_text, _, mac_text = rest.partition(".")
        if prefix != _PREFIX or not mac_text or len(text) > MAX_CHARS or not text.isascii():
            raise InvalidState("the state is not a portable state of this service")
        if not hmac.compare_digest(self._mac(f"{prefix}.{payload_text}"), _decode(mac_text)):
            raise InvalidState("the state was altered, cut short, or signed by another server")
        header, row, last, _ = unpack(_decode(payload_text))
        told = {name: header[name] for name in ("model", "graph", "step", "context")}
        return PortableState(**told, row=row, last=last, memory=header.get("memory", {}))

    def _mac(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidState("the state is not a portable state of this service") from error
