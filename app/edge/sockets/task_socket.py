"""``WS /{task}`` of a task that streams: its protocol as a table, and the socket that follows it.

idle --request--> running --ended--> idle
                  running --stop--> stopping --ended--> idle
a drain lets the running stream end, then closes; anything may be lost at any time
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from enum import Enum
from typing import Literal

from pydantic import BaseModel
from pydantic_core import from_json
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.errors import InvalidInput
from app.core.schema import Request
from app.edge.errors import error_frame, is_internal
from app.edge.sockets.connection import Connection
from app.service.stream import TaskStream
from app.tasks.task import Task

logger = logging.getLogger(__name__)


class StopMessage(Request):
    """What a client sends to end a running stream early."""

    type: Literal["stop"]


class State(Enum):
    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    """The client asked for the end; the rest of the stream and the done frame are still to come."""
    LAST = "last"
    """The server is shutting down; the running stream is the last."""
    CLOSED = "closed"


class Event(Enum):
    REQUEST = "request"
    STOP = "stop"
    ENDED = "ended"
    """The running stream sent its done or error frame."""
    DRAIN = "drain"
    LOST = "lost"
    """The connection is over, whoever ended it."""


_STREAMING = {
    Event.STOP: State.STOPPING,
    Event.ENDED: State.IDLE,
    Event.DRAIN: State.LAST,
    Event.LOST: State.CLOSED,
}
TABLE: dict[State, dict[Event, State]] = {
    State.IDLE: {
        Event.REQUEST: State.RUNNING,
        # A stop that crosses the done frame on its way comes too late, and that is no mistake.
        Event.STOP: State.IDLE,
        Event.DRAIN: State.CLOSED,
        Event.LOST: State.CLOSED,
    },
    State.RUNNING: _STREAMING,
    State.STOPPING: _STREAMING,
    State.LAST: {
        Event.STOP: State.LAST,
        Event.ENDED: State.CLOSED,
        Event.DRAIN: State.LAST,
        Event.LOST: State.CLOSED,
    },
    State.CLOSED: dict.fromkeys((Event.ENDED, Event.DRAIN, Event.LOST), State.CLOSED),
}

_REFUSED = {
    State.RUNNING: "a stream is running on this socket; wait for its done frame, or send a stop first",
    State.LAST: "the server is shutting down; this socket takes no further request",
}


class Conversation:
    def __init__(self) -> None:
        self.state = State.IDLE

    def on(self, event: Event) -> State:
        """The state that follows; raises InvalidInput when the client may not send this now."""
        following = TABLE[self.state].get(event)
        if following is None:
            message = _REFUSED.get(self.state, f"{event.value} is not possible when {self.state.value}")
            raise InvalidInput("message", message)
        self.state = following
        return following


def read_message(text: str, parse: Callable[[bytes], BaseModel]) -> BaseModel:
    """What a client's frame says: a :class:`StopMessage`, or a request."""
    document = None
    if '"type"' in text:
        with contextlib.suppress(ValueError):
            document = from_json(text)
    if not isinstance(document, dict) or "type" not in document:
        return parse(text.encode())
    if document["type"] != "stop":
        message = "the only message with a type is stop; a request has none"
        raise InvalidInput("type", message, allowed=["stop"])
    return StopMessage.model_validate(document)


class TaskSocket(Connection):
    def __init__(self, websocket: WebSocket, task: Task) -> None:
        super().__init__(websocket)
        self._task = task
        self._parse: Callable[[bytes], BaseModel] = task.parse or task.request.model_validate_json
        self._conversation = Conversation()
        self._stream: TaskStream | None = None
        self._sender: asyncio.Task[None] | None = None

    def drain(self) -> None:
        if self._conversation.on(Event.DRAIN) is State.CLOSED:
            self.finish_draining()

    def lost(self) -> None:
        self._conversation.on(Event.LOST)

    async def take(self, text: str) -> None:
        message = read_message(text, self._parse)
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
