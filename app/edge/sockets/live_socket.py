"""``WS /{task}`` of a task with live input: a start message, binary frames, a finish.

idle --start--> open --finish--> idle
                open --an error--> idle: what came behind it is dropped, and start says where to go on

A worker feeds all that has arrived while the last bytes were heard, as one step. When the inbox is full the
socket is not read. A frame that is refused is an error: the sound would have a hole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from pydantic_core import from_json
from starlette.websockets import WebSocket

from app.core.errors import InvalidInput, PayloadTooLarge, RnnserveError, UnknownSession
from app.edge.edge import SessionEdge, owner_of
from app.edge.errors import error_frame, is_internal
from app.edge.sockets.connection import Connection
from app.sessions.portable import PortableState
from app.sessions.record import ID, is_session_id
from app.sessions.schema import CreateSession
from app.sessions.steps.calls import StepCall
from app.tasks.live import Live, LiveStart
from app.tasks.session import Output
from app.tasks.task import Task

logger = logging.getLogger(__name__)

_STEP_BYTES = 128 * 1024
"""Of one step: reading more would hold the event loop too long."""
_KINDS = ["start", "finish"]


@dataclass(slots=True, eq=False)
class _Stream:
    """``session`` is the id of one that is kept, at ``step``; without it the ``state`` is here alone.

    ``last``: nothing follows what is in the inbox; ``refused``: since a frame was.
    """

    state: PortableState
    session: str | None
    step: int
    width: int
    inbox: bytearray = field(default_factory=bytearray)
    last: bool = False
    refused: RnnserveError | None = None

    @property
    def due(self) -> int:
        """Bytes to feed next: whole samples, except at the end."""
        size = min(len(self.inbox), _STEP_BYTES)
        return size if self.last else size - size % self.width


class LiveSocket(Connection):
    def __init__(self, websocket: WebSocket, task: Task, live: Live, sessions: SessionEdge) -> None:
        super().__init__(websocket)
        self._task, self._live, self._service = task, live, sessions.service
        self._owner = owner_of(websocket)
        self._stream: _Stream | None = None
        self._dropping = False
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
            while self._stream is not None and self._stream.last:
                await self._turn()
            if self._stream is not None:
                raise InvalidInput("type", "a stream is open on this socket; finish it first")
            await self._start(self._live.start.model_validate(document))
        else:
            self._open().last = True
            self._arrived.set()

    async def take_bytes(self, data: bytes) -> None:
        if self._dropping:
            return
        stream, most = self._open(), self._edge.limits.max_frame_bytes
        if len(data) > most:
            stream.refused, stream.last, self._dropping = PayloadTooLarge(most), True, True
            stream.inbox.clear()
        else:
            stream.inbox += data
        self._arrived.set()
        while len(stream.inbox) > most and self._stream is stream:
            await self._turn()

    async def _turn(self) -> None:
        """Wait for the worker to have fed something."""
        self._room.clear()
        await self._room.wait()

    def _open(self) -> _Stream:
        if self._stream is None or self._stream.last:
            raise InvalidInput(
                "type", "no stream is open on this socket; send a start first", allowed=["start"]
            )
        return self._stream

    async def _start(self, start: LiveStart) -> None:
        options = self._live.options(start)
        if start.session is None:
            state = await self._service.states.opened(start.model, self._task.name, options, None)
        else:
            state = await self._kept(start.session, start.model, options)
        ready = self._live.ready(start, state.model, state.context)
        self._stream = _Stream(state, start.session, state.step, self._live.width(start))
        self._dropping = False
        self.wait_for_request()
        await self.send(ready)

    async def _kept(self, id: str, model: str | None, options: dict[str, object]) -> PortableState:
        """The state of a session, which is made if it is not there."""
        if not is_session_id(id):
            raise InvalidInput(
                "session", f"{id[:80]!r} is no id of a session", allowed={"pattern": ID.pattern}
            )
        try:
            info = await self._service.view(id, self._owner)
        except UnknownSession:
            asked = CreateSession(id=id, task=self._task.name, model=model, options=options)
            info = await self._service.create(asked, self._owner)
        if info.task != self._task.name:
            raise InvalidInput("session", f"session {id!r} is on {info.model}, a model of another task")
        self._service.states.check_model(model, info.model)
        return await self._service.states.held(id, self._owner)

    async def _work(self) -> None:
        while not self._draining:
            stream = self._stream
            if stream is None or not (stream.due or stream.last):
                self._arrived.clear()
                self.wait_for_request()
                await self._arrived.wait()
                continue
            self.cancel_idle()
            size = stream.due
            data = bytes(stream.inbox[:size])
            del stream.inbox[:size]
            last = stream.last and not stream.inbox
            try:
                said = await self._fed(stream, data, last)
            except Exception as error:
                if is_internal(error):
                    logger.exception("a live stream failed")
                self._stream, self._dropping, last = None, True, False
                await self.send(error_frame(error, self._request_id))
            else:
                for frame in (each for output in said for each in self._live.said(output)):
                    await self.send(frame)
            if last:
                self._stream = None
            self._room.set()
        self.finish_draining()

    async def _fed(self, stream: _Stream, data: bytes, last: bool) -> Sequence[Output]:
        if stream.refused is not None:
            raise stream.refused
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
