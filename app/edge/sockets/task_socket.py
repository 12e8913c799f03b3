"""``WS /{task}`` of a task that streams; a frame carries all that was produced since the last one left."""

from __future__ import annotations

import asyncio
import logging

from pydantic import BaseModel
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.edge.errors import error_frame, is_internal
from app.edge.sockets.connection import Connection
from app.edge.sockets.conversation import Conversation, Event, State, StopMessage, read_message
from app.service.stream import TaskStream
from app.tasks.task import Task

logger = logging.getLogger(__name__)


class TaskSocket(Connection):
    def __init__(self, websocket: WebSocket, task: Task) -> None:
        super().__init__(websocket)
        self._task = task
        self._conversation = Conversation()
        self._stream: TaskStream | None = None
        self._sender: asyncio.Task[None] | None = None

    def drain(self) -> None:
        if self._conversation.on(Event.DRAIN) is State.CLOSED:
            self.finish_draining()

    def lost(self) -> None:
        self._conversation.on(Event.LOST)

    async def take(self, text: str) -> None:
        message = read_message(text, self._task.request)
        if isinstance(message, StopMessage):
            if self._conversation.on(Event.STOP) is not State.IDLE and self._stream is not None:
                self._stream.stop()
        else:
            await self._begin(message)

    async def _begin(self, request: BaseModel) -> None:
        if self._conversation.state is State.STOPPING and self._sender is not None:
            # The stream that was stopped ends at its next step; the new one waits for that.
            await asyncio.wait([self._sender])
        self._conversation.on(Event.REQUEST)
        try:
            self._stream = await self._edge.service.stream(self._task, request)
        except BaseException:
            self._conversation.on(Event.ENDED)
            raise
        self.cancel_idle()
        self._sender = self.own(self._send_all(self._stream))

    async def _send_all(self, stream: TaskStream) -> None:
        try:
            async for frame in stream:
                await self.send(frame)
        except WebSocketDisconnect:
            self.finish()
            return
        except Exception as error:
            if is_internal(error):
                logger.exception("a stream failed")
            await self.send(error_frame(error, self._request_id))
        finally:
            stream.cancel()
            self._stream = None
        if self._conversation.on(Event.ENDED) is State.CLOSED:
            self.finish_draining()
        else:
            self.wait_for_request()
