"""A running stream: what the engine reports becomes frames, and is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from operator import itemgetter
from typing import Any

from pydantic import BaseModel

from app.core.offload import offloaded
from app.core.ports import Ticket
from app.core.sequence import Event, Finished, Tokens
from app.service.call import Call, Timing, outcome_of
from app.tasks.model import Assembler

_TURN_TOKENS = 256
"""Made into frames before it is the turn of others on the event loop: some milliseconds."""
_GATHERED_EVENTS = 4_096
_FRAMES_PER_MS = 10


class TaskStream:
    """Frames of one request, read with ``async for``; the last one says that it has ended well.

    Whoever does not read to the end calls :meth:`cancel`.

    Raises (while iterating):
        RnnserveError: the stream failed; nothing follows.
    """

    def __init__(self, assembler: Assembler, ticket: Ticket, call: Call) -> None:
        self.assembler = assembler
        self._ticket = ticket
        self._call = call
        self._last_at: dict[int, float] = {}
        self._stopping = self._gathers = False
        self._frames = self._run()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._frames

    @property
    def event_id(self) -> str | None:
        return self.assembler.event_id

    def timing(self) -> Timing:
        return self._call.timing()

    async def whole(self) -> BaseModel:
        """All of it, from as few frames as can be: one for each token would take many times the memory."""
        self._gathers = True
        frames = [frame async for frame in self._frames]
        return await offloaded(len(frames) / _FRAMES_PER_MS, self.assembler.answer, frames)

    def stop(self) -> None:
        """End the stream early; what was produced still comes, then the last frame."""
        self._stopping = True
        self._ticket.cancel()
        self._ticket.wake()

    def cancel(self) -> None:
        """Harmless when the stream has ended."""
        self._ticket.cancel()
        self._call.report("cancelled")

    async def _run(self) -> AsyncGenerator[BaseModel, None]:
        assembler = self.assembler
        held: list[tuple[int, Event]] = []
        try:
            while not (assembler.ended or self._stopping):
                events = await self._ticket.events()
                self._count(events)
                if self._gathers:
                    held += events
                    if len(held) < _GATHERED_EVENTS and all(isinstance(one, Tokens) for _, one in events):
                        continue
                    # Of one sequence after the other, each in its order.
                    events, held = sorted(held, key=itemgetter(0)), []
                for number, part in enumerate(_parts(events)):
                    if number:
                        await asyncio.sleep(0)
                    for frame in assembler.push(part):
                        yield frame
            for frame in assembler.stop():
                yield frame
            self._call.report("ok")
            self._call.wrote(assembler.summary)
            yield assembler.done()
        except BaseException as error:
            self._call.report(outcome_of(error))
            raise
        finally:
            self._ticket.cancel()

    def _count(self, events: list[tuple[int, Event]]) -> None:
        """Book tokens, with the time since the last ones of their sequence, and what ended sequences cost."""
        counts: dict[int, int] = {}
        for index, event in events:
            if isinstance(event, Tokens):
                counts[index] = counts.get(index, 0) + len(event.tokens)
            elif isinstance(event, Finished):
                self._call.add(event.usage)
        for index, count in counts.items():
            now, before = time.perf_counter(), self._last_at.get(index)
            first = not self._last_at
            self._last_at[index] = now
            self._call.produced(count, None if before is None else now - before, first=first)


def _parts(events: Sequence[tuple[int, Event]]) -> Iterator[list[tuple[int, Event]]]:
    """Events in their order, in parts of so few tokens that none takes long."""
    part: list[tuple[int, Event]] = []
    room = _TURN_TOKENS
    for index, event in events:
        while isinstance(event, Tokens) and len(event.tokens) > room:
            yield [*part, (index, Tokens(event.tokens[:room]))]
            event, part, room = Tokens(event.tokens[room:]), [], _TURN_TOKENS
        part.append((index, event))
        room -= len(event.tokens) if isinstance(event, Tokens) else 0
    yield part
