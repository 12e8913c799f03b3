"""uvicorn's protocols, with what it lacks against clients that do not read, or never finish asking.

ASGI has no word for dropping a client: a close waits until the client has read what is buffered,
which one that never reads will not do, and its connection would stay for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

ABORT = "rnnserve.abort"
"""Extension of an HTTP scope: ``abort()`` drops the connection and all that is buffered."""

GIVE_UP = "rnnserve.give_up"
"""Extension of a WebSocket scope: ``give_up(code, reason, grace_s)`` queues a close frame behind
what is buffered, and drops the connection if that has not left after ``grace_s`` seconds."""

MAX_HEAD_BYTES = 64 * 1024
HEAD_S = 30.0
"""How long a client may take from connecting, or from a request's first byte, to its last header."""


class AbortableHttp(HttpToolsProtocol):
    """HTTP connections that can be dropped, and whose request heads are bounded in size and time."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False
    _head_ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._stop_head_timer()
        super().connection_lost(exc)

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
        extensions: dict[str, Any] = {ABORT: self.transport.abort}
        self.scope["extensions"] = extensions
        self._start_head_timer()

    def on_headers_complete(self) -> None:
        """The head has ended in time."""
        self._stop_head_timer()
        self._head_bytes, self._head_ended, self._in_body = 0, True, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows is another head."""
        self._in_body = False
        super().on_message_complete()

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class AbortableWebSocket(WebSocketsSansIOProtocol):
    """WebSockets that can be dropped."""

    def handle_connect(self, event: Request) -> None:
        """Begin a socket's scope; its task has not run yet when this returns."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][GIVE_UP] = self.give_up

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
