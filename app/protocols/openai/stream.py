"""A completion as the OpenAI API streams it: ``data:`` lines, and ``data: [DONE]`` at the end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from starlette.types import Send

from app.core.schema import Answer
from app.edge.errors import describe, is_internal
from app.edge.http.event_stream import EventStream
from app.protocols.openai.completion_stream import CompletionStream
from app.protocols.openai.errors import openai_error
from app.protocols.openai.schema import Completion

DONE = "[DONE]"
"""The last data of every stream."""

logger = logging.getLogger(__name__)


class CompletionEvents(EventStream):
    """Writes the chunks of a completion; a failure is an error object in place of the next one.

    Args:
        stream: of the completion, to be given up when its client goes.
        chunks: made from it.
        send_timeout_s: how long the client may leave a chunk unread.
        request_id: named in the log of a failure.
    """

    def __init__(
        self,
        stream: CompletionStream,
        chunks: AsyncIterator[Completion],
        send_timeout_s: float,
        request_id: str,
    ) -> None:
        super().__init__(stream, send_timeout_s, request_id)
        self._chunks = chunks

    async def _write_all(self, send: Send) -> None:
        try:
            async for chunk in self._chunks:
                await self._send(_data(chunk), send, more=True)
        except TimeoutError:
            raise
        except Exception as error:
            if is_internal(error):
                logger.exception("a stream failed")
            await self._send(_data(openai_error(describe(error, self._request_id))), send, more=True)
        await self._send(b"data: %s\n\n" % DONE.encode(), send, more=False)


def _data(answer: Answer) -> bytes:
    return b"data: %s\n\n" % answer.__pydantic_serializer__.to_json(answer, exclude_unset=True)
