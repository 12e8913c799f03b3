"""``WS /generate``: one receive task, one send task while a generation runs, and one reason to end.

Nothing is queued: the send task takes the next frame when the last one has left, and a frame
carries all that was produced meanwhile.
"""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.edge.edge import edge_of
from app.edge.errors import error_frame, is_internal
from app.edge.sockets.connection import Connection, deny, refusal
from app.edge.sockets.conversation import Conversation, Event, State, read_message
from app.service import GenerationStream
from app.tasks.generate.schema import GenerateRequest, StopMessage

logger = logging.getLogger(__name__)

router = APIRouter()


@router.websocket("/generate")
async def generate_socket(websocket: WebSocket) -> None:
    """Any number of generations in turn; see docs/api.md."""
    refused = refusal(edge_of(websocket))
    if refused is not None:
        await deny(websocket, refused)
        return
    await GenerateSocket(websocket).run()


class GenerateSocket(Connection):
    """One open socket.

    Args:
        websocket: not yet accepted.
    """

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket)
        self._conversation = Conversation()
        self._stream: GenerationStream | None = None
        self._sender: asyncio.Task[None] | None = None

    def drain(self) -> None:
        """Let the running generation end, then close."""
        if self._conversation.on(Event.DRAIN) is State.CLOSED:
            self.finish_draining()

    def lost(self) -> None:
        """Nothing may begin any more."""
        self._conversation.on(Event.LOST)

    async def take(self, text: str | None) -> None:
        """Begin a generation, or stop the running one."""
        message = read_message(text, self._edge.limits.max_frame_bytes)
        if isinstance(message, StopMessage):
            if self._conversation.on(Event.STOP) is not State.IDLE and self._stream is not None:
                self._stream.stop()
        else:
            await self._begin(message)

    async def _begin(self, request: GenerateRequest) -> None:
        if self._conversation.state is State.STOPPING and self._sender is not None:
            # The generation that was stopped ends at its next step; the new one waits for that.
            await asyncio.wait([self._sender])
        self._conversation.on(Event.REQUEST)
        try:
            self._stream = self._edge.service.stream_generate(request)
        except BaseException:
            self._conversation.on(Event.ENDED)
            raise
        self.cancel_idle()
        self._sender = self.own(self._send_all(self._stream))

    async def _send_all(self, stream: GenerationStream) -> None:
        try:
            async for frame in stream:
                await self.send(frame)
        except WebSocketDisconnect:
            self.finish()
            return
        except Exception as error:
            if is_internal(error):
                logger.exception("a generation failed")
            await self.send(error_frame(error, self._request_id))
        finally:
            stream.cancel()
            self._stream = None
        if self._conversation.on(Event.ENDED) is State.CLOSED:
            self.finish_draining()
        else:
            self.wait_for_request()
