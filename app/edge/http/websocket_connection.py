"""uvicorn's WebSocket connections, with what they lack against clients that do not read, or flood."""

from __future__ import annotations

import asyncio
import http
import logging
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import OPEN

from app.edge.http.room import room
from app.edge.http.transports import (
    GIVE_UP,
    SEND_NOW,
    SHUTDOWN_S,
    SLICE_BYTES,
    Lingering,
    refusal,
    unfinished,
)

logger = logging.getLogger(__name__)

MAX_FRAGMENTS = 1024
"""Of one message."""
MAX_CONTROL_FRAMES = 128
"""Pings and pongs of one client in a second."""

_TURN = 256
"""Messages that wait are taken without a pause; after as many, it is the other connections' turn."""
_LAST_WAIT_S = 0.1
"""A loop that was busy runs its timers before it reads what has come meanwhile."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    scope: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Without a bound method of the connection, which would be a circle of references.
        self.conn.reject = _rejection  # type: ignore[method-assign]  # as above
        self._handshake_timer: asyncio.TimerHandle | None = None
        self._num_taken = 0
        self._num_fragments = 0
        self._num_controls = 0
        self._controls_since = 0.0
        self._held = 0
        self._rest = b""
        self._has_spoken = False
        self._last_wait = False
        self._is_lost = False
        self._has_run = False

    @property
    def is_open(self) -> bool:
        """Whether it is still this connection's bytes that come, and not what is read behind its end."""
        return self.transport.get_protocol() is self

    def expect_handshake(self, deadline: float | None) -> None:
        """Drop the client unless the application has answered the handshake by then."""
        if deadline is not None:
            self._handshake_timer = self.loop.call_at(deadline, self.transport.abort)

    def handle_connect(self, event: Request) -> None:
        """Begin a socket's scope; its task has not run yet when this returns."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][GIVE_UP] = self.give_up
            scope["extensions"][SEND_NOW] = self.send_now

    def data_received(self, data: bytes) -> None:
        self._has_spoken = True
        if self._rest:
            data, self._rest = self._rest + data, b""
        if len(data) <= SLICE_BYTES:
            self._feed(data)
        else:
            for start in range(0, len(data), SLICE_BYTES):
                if self.transport.is_closing() or not self.is_open:
                    return
                if self.read_paused:
                    self._rest = data[start:]  # until the messages before it have been taken
                    break
                self._feed(data[start : start + SLICE_BYTES])
        held = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        before, self._held = self._held, held
        if held != before and not unfinished.change(before, held):
            self.fail(CloseCode.TRY_AGAIN_LATER, "too many messages are on their way; try again later")

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        error = self.conn.handshake_exc
        if error is not None and not self.handshake_initiated:
            # The head was not taken for a handshake, of which uvicorn hears nothing.
            status = 400
            if isinstance(error, RequestLineTooLong):
                status = 414
            elif isinstance(error, (HeaderLineTooLong, TooManyHeaders)):
                status = 431
            response = _rejection(status, _reason(error))
            self.transport.write(response.serialize())
            self.close_sent = self.handshake_complete = True
            Lingering(self, self.transport)

    def handle_text(self, event: Frame) -> None:
        super().handle_text(event)
        self._num_fragments = 1

    def handle_bytes(self, event: Frame) -> None:
        super().handle_bytes(event)
        self._num_fragments = 1

    def handle_cont(self, event: Frame) -> None:
        self._num_fragments += 1
        if self._num_fragments > MAX_FRAGMENTS:
            self.fail(CloseCode.POLICY_VIOLATION, f"a message has more than {MAX_FRAGMENTS} fragments")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        if self._may_control():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may_control():
            super().handle_pong(event)

    def _may_control(self) -> bool:
        now = self.loop.time()
        if now - self._controls_since > 1:
            self._controls_since, self._num_controls = now, 0
        self._num_controls += 1
        if self._num_controls > MAX_CONTROL_FRAMES:
            reason = f"more than {MAX_CONTROL_FRAMES} pings and pongs came in a second"
            self.fail(CloseCode.POLICY_VIOLATION, reason)
            return False
        return True

    def send_receive_event_to_app(self) -> None:
        """Give a whole message to the application, and read no other before it has been taken."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "text":
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self.fail(CloseCode.INVALID_DATA, "a text frame is not UTF-8")
                return
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        else:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:
        self._num_taken += 1
        if self._num_taken % _TURN == 0:
            await asyncio.sleep(0)
        message = await self.queue.get()
        while self.read_paused and self.queue.empty() and not self.disconnected and self.is_open:
            if not self._rest:
                self.read_paused = False
                self.transport.resume_reading()
                break
            piece, self._rest = self._rest[:SLICE_BYTES], self._rest[SLICE_BYTES:]
            self._feed(piece)
        return message

    def handle_parser_exception(self) -> None:
        """What came is no frame; the parser has made the close frame already."""
        close = self.conn.close_sent
        code, reason = (1006, "") if close is None else (close.code, close.reason)
        self._close_failed(code, reason)

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
            if self._rest:
                self.data_received(b"")
        self.close_timer = self.loop.call_later(grace_s, self.transport.abort)

    def fail(self, code: int, reason: str) -> None:
        """Say why, and read nothing more."""
        if self.close_sent or self.transport.is_closing():
            return
        if self.conn.state is OPEN:
            self.conn.send_close(code, reason)
        self._close_failed(code, reason)

    def _close_failed(self, code: int, reason: str) -> None:
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if not self.handshake_complete:
            response = _rejection(400, "What came behind the WebSocket handshake is no frame.")
            self.transport.write(response.serialize())
        # Whatever the application sends from now on is sent to nobody.
        self.close_sent = self.handshake_complete = self.disconnected = True
        self.frames = []
        Lingering(self, self.transport)

    def shutdown(self) -> None:
        """Close, and wait for a while for the connection to be over.

        uvicorn drops it at once. What the client has sent meanwhile then makes TCP reset it,
        and the close code is lost.
        """
        self.stop_keepalive()
        if not self.is_open:
            self.transport.close()
        elif self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.SERVICE_RESTART})
            self.give_up(CloseCode.SERVICE_RESTART, "the server is shutting down", SHUTDOWN_S)

    def send_keepalive_ping(self) -> None:
        self._has_spoken = self._last_wait = False
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """Drop a client that does not answer a ping, if it has said nothing else and all was read.

        While the application takes no further message nothing is read, answers to pings included.
        """
        if self.read_paused or self._has_spoken:
            self.pong_timer = None
            self.schedule_ping()
        elif not self._last_wait:
            self._last_wait = True
            self.pong_timer = self.loop.call_later(_LAST_WAIT_S, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    async def run_asgi(self) -> None:
        """Have the application serve the socket. What a client does is no error of the server."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except (ClientDisconnected, asyncio.CancelledError):
            pass
        except Exception:
            logger.exception("the application failed to serve a socket")
            self.send_500_response()
        else:
            if not self.handshake_complete and self.initial_response is None:
                logger.error("the application returned without answering a handshake")
                self.send_500_response()
        finally:
            self._has_run = True
            if self.close_timer is None and self.is_open:
                self.transport.close()
            self._let_go()

    async def send(self, message: Any) -> None:
        try:
            await super().send(message)
        finally:
            if self._handshake_timer is not None and (self.handshake_complete or self.close_sent):
                self._handshake_timer.cancel()
                self._handshake_timer = None

    def connection_lost(self, error: Exception | None) -> None:
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        unfinished.change(self._held, 0)
        room.leave(self.transport)
        super().connection_lost(error)
        self._is_lost = True
        self._let_go()

    def _let_go(self) -> None:
        """No circle of references may stay behind."""
        if self._is_lost:
            # The parser is a generator of the protocol that has it.
            self.conn.parser.close()
            self.conn.reader.discard()
            self._rest = b""
            _forget_frames(self.conn.parser_exc)
            _forget_frames(self.conn.handshake_exc)
            self.frames = []
            if self._has_run or not self.handshake_initiated:
                self.scope = None


def _rejection(status: int, text: str) -> Response:
    """The answer to a handshake that fails, in place of plain text."""
    detail = text.strip() or "The WebSocket was refused."
    response = refusal(http.HTTPStatus(status), detail)
    headers = Headers((name.decode(), value.decode("latin-1")) for name, value in response.raw_headers)
    return Response(status, http.HTTPStatus(status).phrase, headers, bytes(response.body))


def _forget_frames(error: BaseException | None) -> None:
    """Tracebacks know the frames that knew the connection, which knows the error."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"This is no WebSocket handshake: {cause}."
