"""One HTTP/1.1 connection that is kept alive, on bare asyncio: a few microseconds a request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools

MAX_ANSWER_BYTES = 64 * 1024 * 1024
ASK_S = 30.0
"""The longest that connecting, or a request outside a loop, may take."""


class HttpLine(asyncio.Protocol):
    """Requests in, answers out through callbacks, one at a time.

    Args:
        url: of the server.
        headers: sent with each request.

    Attributes:
        on_answer: called with status and body.
        on_part: when set, called with each part of a body as it arrives, instead of collecting it.
        on_lost: called when the connection ends, whether or not an answer was due.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        given = {"host": parts.netloc.rpartition("@")[2], **(headers or {})}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._base = parts.path.rstrip("/")
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._size = 0
        self.on_answer: Callable[[int, bytes], None] = lambda status, body: None
        self.on_part: Callable[[bytes], None] | None = None
        self.on_lost: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError: nobody listens, or no connection was made in ``ASK_S``.
        """
        context = ssl.create_default_context() if self._tls else None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(ASK_S):
            await loop.create_connection(lambda: self, self._host, self._port, ssl=context)

    @property
    def connected(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def head(self, method: str, path: str) -> bytes:
        """The head of requests to a path, up to the length of the body."""
        lines = f"{method} {self._base}{path} HTTP/1.1\r\n{self._headers}content-type: application/json\r\n"
        return (lines + "content-length: ").encode()

    def send(self, head: bytes, body: bytes) -> None:
        """Send one request; the last one must have been answered."""
        if self._transport is not None:
            self._transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))

    def close(self) -> None:
        self.on_lost = lambda: None
        if self._transport is not None:
            self._transport.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request outside a loop: its status and body.

        Raises:
            ConnectionError: the connection ended before the answer.
            TimeoutError: there was none in ``ASK_S``.
        """
        waiter: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.on_answer = lambda status, data: None if waiter.done() else waiter.set_result((status, data))
        self.on_lost = lambda: (
            None if waiter.done() else waiter.set_exception(ConnectionError("the connection was lost"))
        )
        if not self.connected:
            await self.open()
        self.send(self.head(method, path), body)
        return await asyncio.wait_for(waiter, ASK_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not descend from asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._parts.clear()
        self.on_lost()

    def on_message_begin(self) -> None:
        self._size = 0

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_ANSWER_BYTES and self._transport is not None:
            self._transport.abort()
        elif self.on_part is not None:
            self.on_part(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self.on_answer(self._parser.get_status_code(), body)
