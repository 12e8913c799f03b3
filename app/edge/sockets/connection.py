"""What every WebSocket has: one receive task, a send that is not left unread, and one reason to end."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.errors import Draining, Overloaded, PayloadTooLarge, RnnserveError, UnsupportedMedia
from app.core.schema import Answer
from app.edge.edge import Edge, edge_of, request_id_of
from app.edge.errors import (
    CLOSE_IDLE,
    CLOSE_INTERNAL,
    CLOSE_RESTART,
    CLOSE_UNREAD,
    error_frame,
    problem_response,
)
from app.edge.http.deadline import Deadline
from app.edge.http.room import room
from app.edge.http.transports import GIVE_UP, SEND_NOW

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _End:
    """Why a socket ends; without a code the client has gone already."""

    code: int | None = None
    reason: str = ""


class Connection(ABC):
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._edge: Edge = edge_of(websocket)
        self._request_id = request_id_of(websocket)
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[_End] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()
        self._send_now = websocket.scope.get("extensions", {}).get(SEND_NOW)
        self._idle = Deadline(self._loop)

    @abstractmethod
    async def take(self, text: str) -> None:
        """Handle one message; the client is told of what this raises."""

    async def take_bytes(self, data: bytes) -> None:
        """The same for a binary message, of any size."""
        raise UnsupportedMedia("binary frame", ("text frame",))

    @abstractmethod
    def drain(self) -> None: ...

    def opened(self) -> None:  # noqa: B027  most need nothing here
        ...

    def lost(self) -> None:  # noqa: B027  as above
        ...

    async def run(self) -> None:
        """Serve the socket until it ends; everything started here has ended when this returns."""
        lifecycle = self._edge.lifecycle
        lifecycle.num_handshakes += 1
        try:
            await self._websocket.accept()
        finally:
            lifecycle.num_handshakes -= 1
        lifecycle.enter(self.drain)
        self._edge.metrics.sockets.inc()
        self.own(self._receive_all())
        self.wait_for_request()
        self.opened()
        if lifecycle.draining:
            # It began while the handshake was under way, so this socket has not been told.
            self.drain()
        try:
            end = await self._end
        finally:
            self.lost()
            lifecycle.leave(self.drain)
            self._edge.metrics.sockets.dec()
            self._idle.end()
            owned = list(self._tasks)
            for task in owned:
                task.cancel()
            if owned:
                await asyncio.wait(owned)
        if end.code is not None:
            await self._close(end.code, end.reason)

    def own(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run something that ends with the socket; if it fails, the socket ends too."""
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def send(self, frame: Answer) -> None:
        await self.send_bytes(frame.__pydantic_serializer__.to_json(frame, exclude_none=True))

    async def send_bytes(self, data: bytes) -> None:
        """Send JSON as a text frame; raises WebSocketDisconnect when the client has gone or does not read."""
        if self._send_now is not None and not self._sending.locked() and self._send_now(data):
            return
        timeout_s = self._edge.limits.socket_send_s
        try:
            async with self._sending, asyncio.timeout(timeout_s):
                await self._websocket.send({"type": "websocket.send", "text": data.decode()})
        except TimeoutError:
            logger.warning("a client left frames unread for %g s and was dropped", timeout_s)
            self.finish(CLOSE_UNREAD, f"frames were left unread for {timeout_s:g} s")
            raise WebSocketDisconnect(CLOSE_UNREAD) from None

    def finish(self, code: int | None = None, reason: str = "") -> None:
        """End the socket; the first reason counts."""
        if not self._end.done():
            self._end.set_result(_End(code, reason))

    def finish_draining(self) -> None:
        self.finish(CLOSE_RESTART, "the server is shutting down")

    def wait_for_request(self) -> None:
        self._idle.set(self._edge.limits.socket_idle_s, self._end_idle)

    def cancel_idle(self) -> None:
        self._idle.clear()

    def _end_idle(self) -> None:
        self.finish(CLOSE_IDLE, f"no request came for {self._edge.limits.socket_idle_s:g} s")

    async def _receive_all(self) -> None:
        while True:
            message = await self._websocket.receive()
            # What comes once the end is decided is not answered: the close code tells of that.
            if message["type"] == "websocket.disconnect" or self._end.done():
                self.finish()
                return
            try:
                data = message.get("bytes")
                if data is None:
                    await self.take(checked_text(message.get("text"), self._edge.limits.max_frame_bytes))
                else:
                    await self.take_bytes(data)
            except (RnnserveError, ValidationError) as error:
                await self.send(error_frame(error, self._request_id))

    async def _guard(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except WebSocketDisconnect:
            self.finish()
        except Exception:
            logger.exception("a socket failed")
            self.finish(CLOSE_INTERNAL, f"internal error, request {self._request_id}")

    async def _close(self, code: int, reason: str) -> None:
        timeout_s = self._edge.limits.socket_send_s
        give_up = self._websocket.scope.get("extensions", {}).get(GIVE_UP)
        if give_up is not None:
            give_up(code, reason, timeout_s)
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._websocket.close(code, reason)
        except (TimeoutError, WebSocketDisconnect):
            logger.warning("a socket could not be closed: the client does not read")


def checked_text(text: str | None, max_bytes: int) -> str:
    if text is None:
        raise UnsupportedMedia("binary frame", ("text frame",))
    if len(text) > max_bytes or len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    return text


def refusal(edge: Edge) -> RnnserveError | None:
    """Why no further socket is opened now, if so."""
    if edge.lifecycle.draining:
        return Draining("the server is shutting down")
    most = min(edge.limits.max_connections, room.max_sockets)
    if edge.lifecycle.num_sockets >= most:
        return Overloaded(f"all {most} WebSockets are in use; try again later")
    return None


async def deny(websocket: WebSocket, error: RnnserveError | HTTPException) -> None:
    await websocket.send_denial_response(problem_response(error, request_id_of(websocket)))
