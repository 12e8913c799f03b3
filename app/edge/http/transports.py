"""What HTTP and WebSocket connections share: names of their extensions, their bounds, and how they end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.edge.errors import problem_response
from app.edge.http.room import room

ABORT = "rnnserve.abort"
"""Extension of an HTTP scope: ``abort()`` drops the connection and all that is buffered."""

ARRIVED = "rnnserve.arrived"
"""Extension of an HTTP scope: true once the whole body is here, so that reading it waits for nothing."""

ON_LOST = "rnnserve.on_lost"
"""Extension of an HTTP scope: ``on_lost(callback)`` has the callback called when the client closes
the connection; the last one given counts, and ``None`` ends it. ASGI would need a task for that."""

RESPOND = "rnnserve.respond"
"""Extension of an HTTP scope, a ``WholeAnswer``: ``respond(scope, status, headers, body)`` sends an
answer in one write, and says whether it did: not to a client that reads too slowly, nor where one has begun.
The names of the headers are lower-case, all is known to be valid, and the body's length is among them."""

GIVE_UP = "rnnserve.give_up"
"""Extension of a WebSocket scope: ``give_up(code, reason, grace_s)`` queues a close frame behind
what is buffered, and drops the connection if that has not left after ``grace_s`` seconds."""

SEND_NOW = "rnnserve.send_now"
"""Extension of a WebSocket scope: ``send_now(data)`` sends a text frame if the client has read enough
of what was sent before, and says whether it did. It waits for nothing, so it needs no task."""

SHUTDOWN_S = 2.0
"""How long a client may take to answer the close frame of a server that ends, and to read an answer."""

HEAD_S = 30.0
"""How long a client may take from connecting, or from a request's first byte, to its last header; a
WebSocket's handshake must have ended by then as well."""

LINGER_S = 10.0
LINGER_BYTES = 128 * 2**20
"""What is still read of a client that has had its last answer: it may be sending a body over the limit."""

LINGER_REFUSED_BYTES = 2**20
"""The same for one whose bytes were no request."""

SLICE_BYTES = 16 * 1024
"""What is parsed before anything else is looked at: what waits already, and what is too much."""

PASS_S = 0.005
"""Of one connection no more is parsed before others have their turn; a body may come in chunks of a byte."""


class Unfinished:
    """Bytes of bodies and messages that have not arrived whole, over all connections of the process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def change(self, before: int, now: int) -> bool:
        """A connection holds ``now`` in place of ``before``; whether that is within the limit."""
        self.held += now - before
        return now <= before or self.held <= self.limit


unfinished = Unfinished(256 * 2**20)


class Lingering(asyncio.Protocol):
    """The last phase of a connection: all is said, and what the client still sends is thrown away.

    To close with bytes unread makes TCP reset the connection, and the client loses the answer.
    """

    def __init__(
        self, protocol: asyncio.Protocol, transport: asyncio.Transport, max_bytes: int = LINGER_REFUSED_BYTES
    ) -> None:
        self._protocol = protocol
        self._transport = transport
        self._left = max_bytes
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LINGER_S, transport.abort)
        transport.set_protocol(self)
        room.wait(transport)
        transport.write_eof()
        transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._protocol.connection_lost(error)
        del self._protocol

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def refusal(status: int, detail: str) -> Response:
    request_id = f"{random.getrandbits(64):016x}"
    response = problem_response(HTTPException(status, detail), request_id)
    response.headers["x-request-id"] = request_id
    response.headers["x-content-type-options"] = "nosniff"
    response.headers["connection"] = "close"
    return response


def address_of(transport: asyncio.BaseTransport, name: str) -> tuple[str, Any] | None:
    address = transport.get_extra_info(name)
    return (str(address[0]), address[1]) if isinstance(address, (tuple, list)) else None
