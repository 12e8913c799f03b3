"""What a client sends, taken apart by httptools: heads and bodies, within bounds, in step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from app.edge.http.http_connection import HttpConnection

MAX_HEAD_BYTES = 64 * 1024

_FRAMING_BYTES = 16 * 1024
_FRAMING_RATIO = 10
"""Chunk sizes, their extensions and trailers may come to so many bytes, and so many for each of the body."""


@dataclass(slots=True, eq=False)
class RequestHead:
    """Names of headers are lower-case."""

    method: str
    url: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool

    def serialized(self, without: bytes = b"") -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.method.encode(), self.url, self.version.encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != without]
        return b"\r\n".join([*lines, b"", b""])


class RequestReader:
    def __init__(self, listener: HttpConnection) -> None:
        self._listener: HttpConnection | None = listener
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self.in_body = False
        self.body_bytes = 0
        self._num_turns = 0
        self._head_bytes = 0
        self._framing_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether requests are still read."""
        return self._listener is not None

    def end(self) -> None:
        """The parser and its reader are a circle of references."""
        self._listener = self._parser = None

    def feed(self, data: bytes) -> None:
        was_in_body, turns, body_bytes = self.in_body, self._num_turns, self.body_bytes
        self._parse(data)
        # Only what lies wholly inside one head or one body is counted: there is no other way to tell.
        if turns != self._num_turns or self._listener is None:
            return
        if was_in_body:
            self._framing_bytes += len(data) - (self.body_bytes - body_bytes)
            if self._framing_bytes > _FRAMING_BYTES + _FRAMING_RATIO * self.body_bytes:
                self._listener.refuse(400, "The body's chunks and trailers outweigh by far what they hold.")
        else:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._listener.refuse(400, f"The request line and headers are over {MAX_HEAD_BYTES} bytes.")

    def _parse(self, data: bytes) -> None:
        pieces: list[bytes | memoryview] = [data]
        while pieces and self._parser is not None:
            piece = pieces.pop()
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as offer:
                # The parser takes each offer for an agreement, and what follows for another protocol.
                pieces = self._answer_offer(memoryview(piece)[offer.args[0] :])
            except httptools.HttpParserError:
                if self._listener is not None:
                    self._listener.refuse(400, "This is not an HTTP request.")
                return

    def _answer_offer(self, rest: memoryview) -> list[bytes | memoryview]:
        """Take an offer, or return what is to be read as if it had not been made."""
        head, listener = self._head(), self._listener
        assert listener is not None
        if head.method == "CONNECT":
            listener.refuse(405, "This server is no proxy.")
            return []
        offers = [value.strip().lower() for name, value in head.headers if name == b"upgrade"]
        is_handshake = offers == [b"websocket"] and (head.method, head.version) == ("GET", "1.1")
        if is_handshake and listener.takes_websocket:
            listener.become_websocket(head, bytes(rest))
            return []
        self._parser = httptools.HttpRequestParser(self)
        return [rest, head.serialized(without=b"upgrade")]

    def _head(self) -> RequestHead:
        parser = self._parser
        assert parser is not None
        version = parser.get_http_version()
        keep_alive = version != "1.0" and parser.should_keep_alive()
        return RequestHead(parser.get_method().decode("ascii"), self._url, version, self._headers, keep_alive)

    # Called by the parser

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        if self._listener is not None:
            self._listener.expect_head()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer must not pass for a header: what proxies and keys are told apart by stands in the head.
        if not self.in_body:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        if self._parser.should_upgrade() or self._listener is None:
            return
        self._listener.begin_request(self._head())
        self._num_turns += 1
        self.in_body = True
        self._head_bytes = self.body_bytes = self._framing_bytes = 0

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self._listener is not None:
            self._listener.take_body(body)

    def on_message_complete(self) -> None:
        if self.in_body:  # not that of a head with an offer, which is read once more
            self._num_turns += 1
            self.in_body = False
            if self._listener is not None:
                self._listener.end_request()
