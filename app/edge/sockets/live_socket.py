"""``WS /{task}`` of a task with live input: a start message, binary frames, a finish.

idle --start--> open --finish--> idle
                open --an error--> idle: what came behind it is dropped, and start says where to go on

A worker feeds all that has arrived while the last bytes were heard, as one step. When the inbox is full the
socket is not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from pydantic_core import from_json
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.errors import InvalidInput, UnknownSession
from app.edge.edge import SessionEdge, known, owner_of
from app.edge.errors import error_frame, is_internal
from app.edge.sockets.connection import Connection
from app.sessions.portable import PortableState
from app.sessions.schema import CreateSession
from app.sessions.steps.calls import StepCall
from app.tasks.live import Live
from app.tasks.session import Output
from app.tasks.task import Task

logger = logging.getLogger(__name__)

_STEP_BYTES = 128 * 1024
"""Of one step: reading more would hold the event loop too long."""
_KINDS = ["start", "finish"]


@dataclass(slots=True, eq=False)
class _Stream:
    """``session`` is the id of one that is kept, at ``step``; without it the ``state`` is here alone."""

    state: PortableState
    session: str | None
    step: int
    inbox: bytearray
    last: bool = False


class LiveSocket(Connection):
    def __init__(self, websocket: WebSocket, task: Task, live: Live, sessions: SessionEdge) -> None:
        super().__init__(websocket)
        self._task, self._live, self._service = task, live, sessions.service
        self._owner = owner_of(websocket)
        self._stream: _Stream | None = None
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._draining = False

    def opened(self) -> None:
        self.own(self._work())

    def drain(self) -> None:
        self._draining = True
        self._arrived.set()

    async def take(self, text: str) -> None:
        try:
            document = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidInput("body", f"the message is not JSON: {error}") from error
        kind = document.get("type") if isinstance(document, dict) else None
        if kind not in _KINDS:
            raise InvalidInput("type", "a text message is a start or a finish", allowed=_KINDS)
        if kind == "start":
            if self._stream is not None:
                raise InvalidInput("type", "a stream is open on this socket; finish it first")
            await self._start(self._live.start.model_validate_json(text))
        else:
            self._open().last = True
            self._arrived.set()

    async def take_bytes(self, data: bytes) -> None:
        stream = self._open()
        stream.inbox += data
        self._arrived.set()
        while len(stream.inbox) > self._edge.limits.max_frame_bytes and self._stream is stream:
            self._room.clear()
            await self._room.wait()

    def _open(self) -> _Stream:
        if self._stream is None or self._stream.last:
            raise InvalidInput(
                "type", "no stream is open on this socket; send a start first", allowed=["start"]
            )
        return self._stream

    async def _start(self, start: object) -> None:
        session, model = getattr(start, "session"), getattr(start, "model")  # noqa: B009  as Live says
        options = self._live.options(start)
        if session is None:
            state = self._service.states.opened(model, self._task.name, options, None)
        else:
            state = await self._kept(known(session), model, options)
        ready = self._live.ready(start, state.model, state.context)
        self._stream = _Stream(state, session, state.step, bytearray())
        self.cancel_idle()
        await self.send(ready)

    async def _kept(self, id: str, model: str | None, options: dict[str, object]) -> PortableState:
        """The state of a session, which is made if it is not there."""
        try:
            info = await self._service.view(id, self._owner)
        except UnknownSession:
            asked = CreateSession(id=id, task=self._task.name, model=model, options=options)
            info = await self._service.create(asked, self._owner)
        if info.task != self._task.name:
            raise InvalidInput("session", f"session {id!r} is on {info.model}, a model of another task")
        return await self._service.states.held(id, self._owner)

    async def _work(self) -> None:
        while not self._draining:
            stream = self._stream
            if stream is None or not (stream.inbox or stream.last):
                self._arrived.clear()
                if stream is None:
                    self.wait_for_request()
                await self._arrived.wait()
                continue
            data = bytes(stream.inbox[:_STEP_BYTES])
            del stream.inbox[:_STEP_BYTES]
            last = stream.last and not stream.inbox
            try:
                said = await self._fed(stream, data, last)
            except WebSocketDisconnect:
                raise
            except Exception as error:
                if is_internal(error):
                    logger.exception("a live stream failed")
                self._stream, last = None, False
                await self.send(error_frame(error, self._request_id))
            else:
                for frame in (each for output in said for each in self._live.said(output)):
                    await self.send(frame)
            if last:
                self._stream = None
            self._room.set()
        self.finish_draining()

    async def _fed(self, stream: _Stream, data: bytes, last: bool) -> Sequence[Output]:
        inputs = self._live.inputs(data, last)
        if stream.session is None:
            stream.state, said = await self._service.states.fed(stream.state, inputs)
            return said
        call = StepCall(stream.session, inputs, stream.step + 1)
        (outcome,) = await self._service.steps([call], self._owner)
        if not isinstance(outcome, bytes):
            raise outcome
        answer = orjson.loads(outcome)
        stream.step = answer["step"]
        found: list[Output] = answer["outputs"]
        return found
