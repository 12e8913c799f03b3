"""``WS /sessions/{id}`` and ``WS /sessions``: events in, outputs out, several in flight.

The worker takes all that has arrived while the last batch was applied. When the inbox is full the socket is
not read: a client that sends too fast is slowed down, not buffered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import orjson
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from app.core.errors import CapacityError, RnnserveError, SessionGone
from app.edge.edge import SessionEdge, edge_of, known, owner_of, sessions_of
from app.edge.errors import CLOSE_IDLE, error_frame, is_internal
from app.edge.routes.session_steps import named
from app.edge.sockets.connection import Connection, deny, refusal
from app.edge.sockets.session_messages import Marker, SessionInbox, read_message
from app.edge.sockets.session_watch import SessionWatch
from app.sessions.schema import SessionInfo
from app.sessions.socket_schema import ClosingFrame, ExpiredFrame, HelloFrame, MarkerFrame, SessionErrorFrame
from app.sessions.steps.calls import StepCall

logger = logging.getLogger(__name__)

router = APIRouter()

_MAX_WAITING = 4096
_MAX_WATCHED = 100_000
_WATCH_S = 1.0
_WATCH_GROUP = 256
# Under what WebSocket clients take by default, unless a single answer is larger.
_FRAME_BYTES = 256 * 1024


@router.websocket("/sessions/{id}")
@router.websocket("/sessions")
async def serve(websocket: WebSocket) -> None:
    id, info = websocket.path_params.get("id"), None
    try:
        sessions = sessions_of(websocket)
        if id is not None and refusal(edge_of(websocket)) is None:
            info = await sessions.service.view(known(id), owner_of(websocket))
        # Others may have come meanwhile; from here on this one is counted.
        if (refused := refusal(edge_of(websocket))) is not None:
            raise refused
    except (RnnserveError, HTTPException) as error:
        await deny(websocket, error)
        return
    await SessionSocket(websocket, sessions, info).run()


class SessionSocket(Connection):
    def __init__(self, websocket: WebSocket, sessions: SessionEdge, info: SessionInfo | None) -> None:
        super().__init__(websocket)
        self._sessions = sessions
        self._info = info
        self._only = None if info is None else info.id
        self._owner = owner_of(websocket)
        self._inbox = SessionInbox(_MAX_WAITING, 4 * self._edge.limits.max_frame_bytes)
        self._watch = SessionWatch(_MAX_WATCHED)
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._draining = False

    def opened(self) -> None:
        self.own(self._work())
        self.own(self._announce())
        if self._only is not None:
            self._watch.seen(self._only, time.monotonic())

    def drain(self) -> None:
        self._draining = True
        self._arrived.set()

    async def take(self, text: str) -> None:
        """Put the message's calls into the inbox, and wait while that is full."""
        items = read_message(text, self._only)
        self._inbox.put(items, len(text))
        self._arrived.set()
        while self._inbox.full:
            self._room.clear()
            await self._room.wait()

    async def _work(self) -> None:
        if self._info is not None:
            await self.send(
                HelloFrame(
                    id=self._info.id,
                    model=self._info.model,
                    step=self._info.step,
                    next_seq=self._info.step + 1,
                )
            )
        while not self._draining:
            items = self._inbox.take(self._sessions.limits.session_max_batch_calls)
            if not items:
                self._arrived.clear()
                self.wait_for_request()
                await self._arrived.wait()
                continue
            self.cancel_idle()
            self._room.set()
            await self._answer(items)
        await self.send(await self._closing())
        self.finish_draining()

    async def _closing(self) -> ClosingFrame:
        if self._only is None:
            return ClosingFrame()
        try:
            info = await self._sessions.service.view(self._only, self._owner)
        except RnnserveError:
            return ClosingFrame(id=self._only)
        return ClosingFrame(id=info.id, step=info.step, next_seq=info.step + 1)

    async def _answer(self, items: list[StepCall | Marker]) -> None:
        """Apply the calls as one batch; send what became of them, and the markers between."""
        calls = [item for item in items if isinstance(item, StepCall)]
        outcomes: Sequence[bytes | Exception] = ()
        if calls:
            try:
                outcomes = await self._sessions.service.steps(calls, self._owner)
            except Exception as error:
                if is_internal(error):
                    logger.exception("a batch of %d calls failed", len(calls))
                outcomes = [error] * len(calls)
        ready: list[bytes] = []
        size = num_answered = 0
        for item in items:
            if isinstance(item, Marker):
                await self._send_results(ready)
                ready, size = [], 0
                await self.send(MarkerFrame(marker=item.text))
                continue
            result = self._result(item, outcomes[num_answered])
            num_answered += 1
            if size + len(result) > _FRAME_BYTES:
                await self._send_results(ready)
                ready, size = [], 0
            ready.append(result)
            size += len(result)
        await self._send_results(ready)

    def _result(self, call: StepCall, outcome: bytes | Exception) -> bytes:
        if isinstance(outcome, bytes):
            self._watch.seen(call.id, time.monotonic())
            return named(call.id, outcome, b'{"type":"output",')
        if isinstance(outcome, SessionGone):
            self._watch.forget(call.id)
        frame = error_frame(outcome, self._request_id, SessionErrorFrame, id=call.id, seq=call.seq)
        return frame.__pydantic_serializer__.to_json(frame, exclude_none=True)

    async def _send_results(self, results: list[bytes]) -> None:
        if len(results) == 1:
            await self.send_bytes(results[0])
        elif results:
            frame = {"type": "outputs", "results": list(map(orjson.Fragment, results))}
            await self.send_bytes(orjson.dumps(frame))

    async def _announce(self) -> None:
        """Tell the ends of sessions that nobody steps any more."""
        while True:
            await asyncio.sleep(max(0.01, self._watch.wait_s(time.monotonic(), _WATCH_S)))
            due = self._watch.due(time.monotonic(), _WATCH_GROUP)
            if not due:
                continue
            try:
                found = await self._sessions.service.expiries(due, self._owner)
            except RnnserveError as error:
                found = [error for _ in due]
            for id, ending in zip(due, found, strict=True):
                await self._tell(id, ending)

    async def _tell(self, id: str, ending: float | RnnserveError) -> None:
        if isinstance(ending, float):
            self._watch.plan(id, time.monotonic() + ending - self._sessions.service.clock())
        elif isinstance(ending, SessionGone):
            self._watch.forget(id)
            await self.send(
                ExpiredFrame(id=id, reason=ending.reason, ended_at=ending.ended_at, step=ending.step)
            )
            if id == self._only:
                self.finish(CLOSE_IDLE, "the session has ended")
        elif isinstance(ending, CapacityError):
            self._watch.plan(id, time.monotonic() + _WATCH_S)
        else:
            self._watch.forget(id)
