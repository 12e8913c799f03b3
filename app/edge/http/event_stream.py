"""A stream as server-sent events; the same request with ``Last-Event-ID`` gets the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.edge.edge import edge_of, request_id_of
from app.edge.errors import error_frame, is_internal
from app.edge.http.body import ClientGone, while_connected
from app.edge.http.transports import ABORT
from app.service.stream import TaskStream
from app.sessions.actions import LastFrame, SessionStream
from app.tasks.model import ResumePoint
from app.tasks.task import Task

HEADER = "last-event-id"

logger = logging.getLogger(__name__)

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


FrameStream = TaskStream | SessionStream | LastFrame


async def stream_events(
    request: Request, task: Task, start: Callable[[ResumePoint | None], Awaitable[FrameStream]]
) -> Response:
    """Start a stream behind the event that the client saw last, if it names one; raises InvalidInput."""
    text = request.headers.get(HEADER)
    point = task.point(text) if text and task.point is not None else None
    if point is not None and point.complete:
        # It has everything; this status tells an EventSource not to come again.
        return Response(status_code=204)
    return EventStream(await start(point), edge_of(request).limits.socket_send_s, request_id_of(request))


class EventStream(Response):
    media_type = "text/event-stream"
    last_data = b""

    def __init__(self, stream: FrameStream, send_timeout_s: float, request_id: str) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._stream = stream
        self._send_timeout_s = send_timeout_s
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the stream ends, the client goes, or it does not read."""
        # It was admitted as a request, which has ended by now without a pause in between.
        try:
            with scope["app"].state.edge.lifecycle.admitted(again=True):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await while_connected(scope, receive, self._write_all(send))
        except ClientGone:
            pass
        except TimeoutError:
            logger.warning("a client left events unread for %g s and was dropped", self._send_timeout_s)
            abort = scope.get("extensions", {}).get(ABORT)
            if abort is not None:
                abort()
        finally:
            self._stream.cancel()

    async def _write_all(self, send: Send) -> None:
        try:
            async for frame in self._stream:
                await self._send(await self._event(frame), send, more=True)
        except TimeoutError:
            raise
        except Exception as error:
            if is_internal(error):
                logger.exception("a stream failed")
            await self._send(await self._event(self._failure(error)), send, more=True)
        await self._send(self.last_data, send, more=False)

    async def _event(self, frame: Any) -> bytes:
        data = frame.__pydantic_serializer__.to_json(frame, exclude_none=True)
        kind = frame.type.encode("ascii")
        # A failure has no place of its own: whoever comes again goes on behind the last event.
        event_id = None if frame.type == "error" else self._stream.event_id
        head = b"" if event_id is None else b"id: %s\n" % event_id.encode("ascii")
        return b"%sevent: %s\ndata: %s\n\n" % (head, kind, data)

    def _failure(self, error: Exception) -> BaseModel:
        return error_frame(error, self._request_id)

    async def _send(self, body: bytes, send: Send, *, more: bool) -> None:
        async with asyncio.timeout(self._send_timeout_s):
            await send({"type": "http.response.body", "body": body, "more_body": more})
