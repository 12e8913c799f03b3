"""A generation that is asked for: awaited, its whole answer; iterated, its frames as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from typing import Any

from rnnserve_client.answers import GenerateAnswer

Frame = dict[str, Any]
Whole = Coroutine[Any, Any, GenerateAnswer]


class Texts(Coroutine[Any, Any, GenerateAnswer], AsyncIterator[Frame]):
    """Nothing is sent before one of the two is done. A coroutine, so that a task may be made of it."""

    def __init__(self, whole: Callable[[], Whole], frames: Callable[[], AsyncGenerator[Frame, None]]) -> None:
        self._whole = whole
        self._frames = frames
        self._answer: Whole | None = None
        self._stream: AsyncGenerator[Frame, None] | None = None

    def __await__(self) -> Generator[Any, Any, GenerateAnswer]:
        return self._started().__await__()

    def send(self, value: Any) -> Any:
        return self._started().send(value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        # As a task throws: the exception alone, since the other forms are deprecated.
        return self._started().throw(kind if value is None else value)

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()

    async def __anext__(self) -> Frame:
        if self._stream is None:
            self._stream = self._frames()
        return await anext(self._stream)

    async def aclose(self) -> None:
        """End the stream before its end."""
        if self._stream is not None:
            await self._stream.aclose()

    def _started(self) -> Whole:
        if self._answer is None:
            self._answer = self._whole()
        return self._answer
