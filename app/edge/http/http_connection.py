"""HTTP/1.1 connections: each request is an exchange with the application."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.edge.errors import INTERNAL_DETAIL
from app.edge.http import transports
from app.edge.http.deadline import Deadline
from app.edge.http.http_exchange import STATUS_LINES, Exchange, WholeAnswer
from app.edge.http.request_reader import RequestHead, RequestReader
from app.edge.http.room import room
from app.edge.http.transports import ABORT, ON_LOST, RESPOND

HIGH_WATER_BYTES = 64 * 1024
"""What is buffered of a body before the application asks for more."""
PROBE_S = 1.0
"""A client that has closed its sending side may wait for its answer or be gone: after as long it is tried."""


class HttpConnection(asyncio.Protocol):
    """Answers its requests one after the other, in their order; ``exchange`` is the last that has come."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self.exchange: Exchange | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self._answering: Exchange | None = None
        self._behind: deque[Exchange] = deque()
        self._reader = RequestReader(self)
        self._whole_answer: WholeAnswer | None = WholeAnswer(self)
        self._deadline = Deadline(self.loop)
        self._on_loss: Callable[[], None] | None = None
        self._refusal: tuple[int, str] | None = None
        self._held = 0
        self._rest = b""
        self._unheard = 0
        self._is_deaf = False
        self._eof = False
        self._read_paused = self._goes_on = False
        self._has_key = False

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Of every answer; the server makes the date anew each second."""
        return self._server_state.default_headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own do
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # it is none of uvicorn's classes
        self.transport = transport
        room.enter(transport)
        self._server = transports.address_of(transport, "sockname")
        self._client = transports.address_of(transport, "peername")
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self.expect_head()

    def connection_lost(self, error: Exception | None) -> None:
        room.leave(self.transport)
        pending = [self._answering, *self._behind]
        self._let_go()
        self.writable.set()
        for exchange in pending:
            if exchange is not None:
                self._lose(exchange)

    def _let_go(self) -> None:
        """No circle of references may stay behind."""
        self._server_state.connections.discard(self)
        self._deadline.end()
        self._reader.end()
        self._hold(0)
        self._whole_answer = self.exchange = self._answering = None
        self._behind.clear()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._unheard += len(data)
            if self._unheard > transports.LINGER_BYTES:
                self.transport.abort()
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        if len(data) <= transports.SLICE_BYTES:
            self._read(data)
            return
        began = time.perf_counter()
        for start in range(0, len(data), transports.SLICE_BYTES):
            self._read(data[start : start + transports.SLICE_BYTES])
            has_ended = self._is_deaf or not self._reader.is_open
            if has_ended or self._behind or time.perf_counter() - began > transports.PASS_S:
                self._rest = data[start + transports.SLICE_BYTES :]
                if self._rest and not has_ended:
                    self._pause_reading()
                    self.resume_reading()
                break
        successor: Any = self.transport.get_protocol()
        if self._rest and successor is not self:
            rest, self._rest = self._rest, b""
            successor.data_received(rest)

    def _read(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._reader.in_body and not self._is_deaf and not self._hold(self._reader.body_bytes):
            self.refuse(503, "Too many bodies are on their way; try again later.")

    def eof_received(self) -> bool:
        """The client sends nothing more, but may still wait for answers."""
        self._eof = True
        if self._answering is None or self._reader.in_body:
            return False
        self._deadline.set(PROBE_S, self._probe)
        return True

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _pause_reading(self) -> None:
        if not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """What is here already comes first, but in a later pass: an application asks for more in a circle."""
        if not self._read_paused or self._behind or self.transport.is_closing():
            return
        if not self._rest or self._is_deaf:
            self._read_paused = False
            self.transport.resume_reading()
        elif not self._goes_on:
            self._goes_on = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._rest and not (self._behind or self._is_deaf or self.transport.is_closing()):
            self.data_received(b"")
        # Else the application has to take in more of the body first.
        if self.exchange is None or self.exchange.size <= HIGH_WATER_BYTES:
            self.resume_reading()

    def shutdown(self) -> None:
        if self._answering is None:
            self.transport.close()
        else:
            (self._behind[-1] if self._behind else self._answering).keep_alive = False

    def expect_head(self) -> None:
        self._deadline.set(transports.HEAD_S, self.transport.abort)

    def begin_request(self, head: RequestHead) -> None:
        self._deadline.clear()
        exchange = self.exchange = Exchange(self, self._scope(head), head.keep_alive)
        if self._answering is None:
            self._start(exchange)
        else:
            self._behind.append(exchange)
            self._pause_reading()

    def take_body(self, piece: bytes) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.take_body(piece) > HIGH_WATER_BYTES:
            self._pause_reading()
        if not self._has_key:
            room.wait(self.transport)

    def end_request(self) -> None:
        exchange = self.exchange
        self._hold(0)
        if exchange is None:
            return
        exchange.arrive()
        room.work(self.transport)
        self._is_deaf = not exchange.keep_alive
        if self._answering is None:
            self._wait_for_request()

    @property
    def takes_websocket(self) -> bool:
        """Not behind answers that are due."""
        return self._answering is None

    def become_websocket(self, head: RequestHead, rest: bytes) -> None:
        deadline = self._deadline.due
        room.work(self.transport)
        self._let_go()
        protocol: Any = self._config.ws_protocol_class
        connection = protocol(self._config, self._server_state, self._app_state)
        connection.connection_made(self.transport)
        connection.expect_handshake(deadline)
        self.transport.set_protocol(connection)
        connection.data_received(head.serialized())
        if rest and connection.is_open:
            connection.data_received(rest)

    def refuse(self, status: int, detail: str) -> None:
        """Read nothing more; say why, behind the answers that are due, and close."""
        if self._is_deaf:
            return
        self._is_deaf, self._refusal = True, (status, detail)
        exchange = self.exchange
        if self._reader.in_body and exchange is not None:
            self._hold(0)
            began = exchange.started
            self._lose(exchange)
            if self._behind:
                self._behind.pop()
            elif began:
                self._end()
                return
        if self._answering is None:
            self._send_refusal()

    def _scope(self, head: RequestHead) -> Scope:
        url = httptools.parse_url(head.url)
        path = url.path.decode("ascii")
        root = self._config.root_path
        return {
            "type": "http",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.3"},
            "http_version": head.version,
            "method": head.method,
            "scheme": self._scheme,
            "path": root + (unquote(path) if "%" in path else path),
            "raw_path": root.encode("ascii") + url.path,
            "query_string": url.query or b"",
            "root_path": root,
            "headers": head.headers,
            "server": self._server,
            "client": self._client,
            "state": self._app_state.copy(),
            "extensions": {ABORT: self.transport.abort, ON_LOST: self._on_lost, RESPOND: self._whole_answer},
        }

    def _start(self, exchange: Exchange) -> None:
        self._answering = exchange
        task = self.loop.create_task(exchange.run(self._config.loaded_app))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def answered(self, exchange: Exchange) -> None:
        self._server_state.total_requests += 1
        self._answering = None
        if not self._has_key and "principal" in exchange.scope["state"]:
            self._has_key = True
            room.work(self.transport)
        if self.transport.is_closing():
            return
        if not exchange.keep_alive:
            self._behind.clear()
            self._end()
        elif self._behind:
            self._start(self._behind.popleft())
        elif self._refusal is not None:
            self._send_refusal()
        elif self._eof:
            self.transport.close()
        else:
            self.resume_reading()
            if self._answering is None and not self._is_deaf:
                self._wait_for_request()

    def fail(self, exchange: Exchange) -> None:
        if exchange is self._answering:
            self._lose(exchange)
            self._behind.clear()
            self._is_deaf, self._refusal = True, (500, INTERNAL_DETAIL)
            if exchange.started:
                self.transport.close()
            else:
                self._send_refusal()

    def _lose(self, exchange: Exchange) -> None:
        exchange.lost = True
        exchange.wake()
        if exchange is self._answering or self._answering is None:
            self._answering = None
            callback, self._on_loss = self._on_loss, None
            if callback is not None:
                callback()

    def _send_refusal(self) -> None:
        assert self._refusal is not None
        response = transports.refusal(*self._refusal)
        headers = b"".join(
            b"%b: %b\r\n" % header for header in (*self.default_headers, *response.raw_headers)
        )
        self.transport.write(STATUS_LINES[response.status_code] + headers + b"\r\n" + bytes(response.body))
        self._end()

    def _end(self) -> None:
        self._deadline.clear()
        has_read_all = not self._reader.in_body and not (self._unheard or self._rest or self._refusal)
        if self._eof or has_read_all:
            self.transport.close()
        else:
            max_bytes = transports.LINGER_BYTES if self._refusal is None else transports.LINGER_REFUSED_BYTES
            transports.Lingering(self, self.transport, max_bytes)

    def _on_lost(self, callback: Callable[[], None] | None) -> None:
        self._on_loss = callback
        if callback is not None and (self._answering is None or self.transport.is_closing()):
            self._on_loss = None
            callback()

    def _hold(self, size: int) -> bool:
        """So much of an unfinished body is here; whether that is not too much, with all others."""
        before, self._held = self._held, size
        return before == size or transports.unfinished.change(before, size)

    def _wait_for_request(self) -> None:
        if not self._has_key:
            room.wait(self.transport)
        if self._reader.in_body:
            # The rest of a body that was answered unread.
            self._deadline.set(transports.LINGER_S, self.transport.abort)
        else:
            self._deadline.set(self._config.timeout_keep_alive, self.transport.close)

    def _probe(self) -> None:
        """Write something harmless: TCP will say whether the client has gone."""
        exchange = self._answering
        if exchange is not None:
            if not exchange.started and exchange.scope["http_version"] == "1.1":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._deadline.set(PROBE_S, self._probe)
