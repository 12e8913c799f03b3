"""One request and its answer, as ASGI sees them."""

from __future__ import annotations

import asyncio
import http
import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Scope, Send

if TYPE_CHECKING:
    from app.edge.http.http_connection import HttpConnection

from app.edge.http.transports import ARRIVED

logger = logging.getLogger(__name__)

MAX_LEFTOVER_BYTES = 64 * 1024
"""How much of a body may still have to come when its request is answered, for the connection to be kept."""

_PHRASES = {status.value: status.phrase.encode() for status in http.HTTPStatus}
STATUS_LINES = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES.get(status, b"")) for status in range(100, 600)
}
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_DISCONNECT: Message = {"type": "http.disconnect"}


class Exchange:
    __slots__ = (
        "_chunked",
        "_connection",
        "_pieces",
        "_to_send",
        "_told_end",
        "_told_to_send",
        "_waiter",
        "answered",
        "arrived",
        "keep_alive",
        "lost",
        "scope",
        "size",
        "started",
    )

    def __init__(self, connection: HttpConnection, scope: Scope, keep_alive: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self._told_to_send = False
        self._pieces: list[bytes] = []
        self.size = 0
        self.arrived = False
        self._told_end = False
        self._waiter: asyncio.Future[None] | None = None
        self.started = False
        self.answered = False
        self.lost = False
        self._chunked = False
        self._to_send = 0

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            # The server ends without waiting.
            self._connection.transport.abort()
        except Exception:
            logger.exception("the application failed to answer a request")
            self._connection.fail(self)
        else:
            if not self.answered and not self.lost:
                logger.error("the application returned without a whole answer")
                self._connection.fail(self)

    def take_body(self, piece: bytes) -> int:
        """Returns how many bytes wait to be received."""
        if self.answered or self.lost:
            return 0
        self._pieces.append(piece)
        self.size += len(piece)
        self.wake()
        return self.size

    def arrive(self) -> None:
        self.arrived = True
        self.scope["extensions"][ARRIVED] = True
        self.wake()

    def wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def receive(self) -> Message:
        """The next part of the body, or that the client has gone or been answered."""
        while not self.answered and not self.lost:
            if self._pieces or (self.arrived and not self._told_end):
                body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self.size = 0
                self._told_end = self.arrived
                return {"type": "http.request", "body": body, "more_body": not self.arrived}
            if not self._told_to_send:
                self._told_to_send = True
                if self._header(b"expect").lower() == b"100-continue":
                    self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            waiter = self._waiter = self._connection.loop.create_future()
            self._connection.resume_reading()
            await waiter
        return _DISCONNECT

    async def send(self, message: Message) -> None:
        """Send one message, when the client has read enough of what was sent before."""
        if not self._connection.writable.is_set() and not self.lost:
            await self._connection.writable.wait()
        if self.lost:
            return
        expected = "http.response.body" if self.started else "http.response.start"
        if message["type"] != expected or self.answered:
            raise RuntimeError(f"{message['type']} came where {expected} was due")
        if not self.started:
            self._send_head(message["status"], message.get("headers", ()))
        else:
            self._send_body(message.get("body", b""), last=not message.get("more_body", False))

    def keeps_alive(self) -> bool:
        """Whether the connection is kept behind an answer that begins now; a long rest of a body ends it."""
        if not self.arrived and self.keep_alive:
            length = self._header(b"content-length")
            self.keep_alive = length.isdigit() and int(length) <= MAX_LEFTOVER_BYTES
        return self.keep_alive

    def _header(self, name: bytes) -> bytes:
        return next((value for key, value in self.scope["headers"] if key == name), b"")

    def _send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise RuntimeError(f"the header {name!r} is not valid")
        self.started = True
        self.keeps_alive()
        parts = [STATUS_LINES[status]]
        length = None
        says_close = False
        for name, value in (*self._connection.default_headers, *headers):
            lower = name.lower()
            if lower == b"content-length":
                length = int(value)
            elif lower == b"transfer-encoding":
                continue  # this module's own business
            elif lower == b"connection" and b"close" in value.lower():
                self.keep_alive, says_close = False, True
            parts += (lower, b": ", value, b"\r\n")
        if not self.keep_alive and not says_close:
            parts.append(b"connection: close\r\n")
        has_body = self.scope["method"] != "HEAD" and status not in (204, 304)
        self._to_send = length if length is not None and has_body else 0
        self._chunked = length is None and has_body
        if self._chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
        parts.append(b"\r\n")
        self._connection.transport.write(b"".join(parts))

    def _send_body(self, body: bytes, *, last: bool) -> None:
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._connection.transport.write(framed + b"0\r\n\r\n" if last else framed)
        elif self.scope["method"] != "HEAD":
            self._to_send -= len(body)
            if self._to_send < 0 or (last and self._to_send):
                raise RuntimeError("the answer's body is not as long as its header says")
            self._connection.transport.write(body)
        if last:
            self.finish()

    def finish(self) -> None:
        self.answered = True
        self._pieces.clear()
        self.wake()
        self._connection.answered(self)


class WholeAnswer:
    """Keeps nothing of a request, whose memory would stay until the garbage collector comes by."""

    __slots__ = ("_connection",)

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    def is_behind(self, scope: Scope, send: Send) -> bool:
        """Whether nothing stands between an ASGI ``send`` and the connection that would miss the messages."""
        exchange = self._connection.exchange
        return exchange is not None and exchange.scope is scope and send == exchange.send

    def __call__(
        self, scope: Scope, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> bool:
        """See :data:`app.edge.http.transports.RESPOND`."""
        connection = self._connection
        exchange = connection.exchange
        if (
            exchange is None
            or exchange.scope is not scope  # a further request has come before this one is answered
            or exchange.started
            or exchange.lost
            or not exchange.keeps_alive()
            or not connection.writable.is_set()
            or scope["method"] == "HEAD"
        ):
            return False
        exchange.started = True
        parts = [STATUS_LINES[status]]
        for name, value in (*connection.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body)
        connection.transport.write(b"".join(parts))
        exchange.finish()
        return True
