"""uvicorn's protocols, with what it lacks against clients that do not read, or never finish asking.

ASGI has no word for dropping a client: a close waits until the client has read what is buffered,
which one that never reads will not do, and its connection would stay for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

ABORT = "rnnserve.abort"
"""Extension of an HTTP scope: ``abort()`` drops the connection and all that is buffered."""

ARRIVED = "rnnserve.arrived"
"""Extension of an HTTP scope: true once the whole body is here, so that reading it waits for nothing."""

ON_LOST = "rnnserve.on_lost"
"""Extension of an HTTP scope: ``on_lost(callback)`` has the callback called when the client closes
the connection; the last one given counts, and ``None`` ends it. ASGI would need a task for that."""

RESPOND = "rnnserve.respond"
"""Extension of an HTTP scope, a :class:`WholeAnswer`: ``respond(scope, status, headers, body)`` sends an
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

MAX_HEAD_BYTES = 64 * 1024
HEAD_S = 30.0
"""How long a client may take from connecting, or from a request's first byte, to its last header."""


_RESTART = 1012


class AbortableHttp(HttpToolsProtocol):
    """HTTP connections that can be dropped, and whose request heads are bounded in size and time."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False
    _head_ended = False
    _on_lost: Callable[[], None] | None = None
    _extensions: dict[str, Any]
    _whole_answer: WholeAnswer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head."""
        super().connection_made(transport)
        self._whole_answer = WholeAnswer(self)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._stop_head_timer()
        super().connection_lost(exc)
        callback, self._on_lost = self._on_lost, None
        if callback is not None:
            callback()

    def data_received(self, data: bytes) -> None:
        """Parse, and give up on a head that does not end."""
        # A piece that holds the end of a head, or of a body, is not counted: it may hold a body as well.
        was_in_body, self._head_ended = self._in_body, False
        super().data_received(data)
        if was_in_body or self._head_ended or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"The request line and headers are over {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """Begin a request's scope."""
        super().on_message_begin()
        self._extensions = {ABORT: self.transport.abort, ON_LOST: self.on_lost, RESPOND: self._whole_answer}
        self.scope["extensions"] = self._extensions
        self._start_head_timer()

    def on_headers_complete(self) -> None:
        """The head has ended in time."""
        self._stop_head_timer()
        self._head_bytes, self._head_ended, self._in_body = 0, True, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows is another head."""
        self._in_body = False
        self._extensions[ARRIVED] = True
        super().on_message_complete()

    def on_lost(self, callback: Callable[[], None] | None) -> None:
        """Requests of one connection run one after the other, so one callback is enough."""
        self._on_lost = callback
        if callback is not None and self.transport.is_closing():
            self._on_lost = None
            callback()

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WholeAnswer:
    """What a connection does with the two messages of an answer, for one that is here as a whole.

    It is told the request's scope each time, and keeps nothing of a request: the scope knows it, and a
    cycle would keep every request's memory until the garbage collector comes by.

    Args:
        connection: whose requests are answered.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: AbortableHttp) -> None:
        self._connection = connection

    def is_behind(self, scope: Scope, send: Send) -> bool:
        """Whether nothing stands between an ASGI ``send`` and the connection that would miss the messages."""
        cycle = self._connection.cycle
        return bool(cycle is not None and cycle.scope is scope and send == cycle.send)

    def __call__(
        self, scope: Scope, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        """See :data:`RESPOND`."""
        cycle = self._connection.cycle
        if (
            cycle is None
            or cycle.scope is not scope  # a further request has come before this one is answered
            or cycle.response_started
            or cycle.disconnected
            or cycle.flow.write_paused
            or not cycle.keep_alive
            or scope["method"] == "HEAD"
        ):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = False
        parts = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body)
        cycle.transport.write(b"".join(parts))
        cycle.message_event.set()
        cycle.on_response()
        return True


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """WebSockets that can be dropped."""

    def handle_connect(self, event: Request) -> None:
        """Begin a socket's scope; its task has not run yet when this returns."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][GIVE_UP] = self.give_up
            scope["extensions"][SEND_NOW] = self.send_now

    def send_now(self, data: bytes) -> bool:
        """Send UTF-8 text, unless that would have to wait or the socket is not open."""
        if not self.writable.is_set() or self.disconnected or self.close_sent or not self.handshake_complete:
            return False
        self.conn.send_text(data)
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    def give_up(self, code: int, reason: str, grace_s: float) -> None:
        """Say why, and drop the connection ``grace_s`` seconds later unless the client reads it."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            # The client's answer to the close frame ends the connection early.
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(grace_s, self.transport.abort)

    def shutdown(self) -> None:
        """Close because the server ends; it waits for a while for the connection to be over.

        uvicorn drops the connection at once. What the client has sent meanwhile then makes TCP reset
        it, and the client loses the last frames and the close code.
        """
        self.stop_keepalive()
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _RESTART})
            self.give_up(_RESTART, "the server is shutting down", SHUTDOWN_S)

    def keepalive_timeout(self) -> None:
        """Drop a client that does not answer a ping, unless its answer may lie where it is not read.

        While the application takes no further message nothing is read, answers to pings included.
        """
        if not self.read_paused:
            super().keepalive_timeout()
            return
        self.pong_timer = None
        self.schedule_ping()
