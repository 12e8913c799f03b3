"""Where the events of sequences arrive: the engine's callback puts, one reader takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from app.core.errors import DeadlineExceeded
from app.core.sequence import Event, Failed, Finished, Token, Tokens
from app.engine.job import Job


class EngineTicket:
    """Used on one event loop only; ``until`` is the reading of its clock after which a wait is given up."""

    __slots__ = ("_events", "_give_up", "_open", "_timer", "_tokens", "_until", "_waiter", "_woken", "jobs")

    def __init__(self, num_sequences: int, give_up: Callable[[Sequence[Job]], None], until: float) -> None:
        self.jobs: Sequence[Job] = ()
        self._give_up = give_up
        self._until = until
        self._events: list[tuple[int, Event]] = []
        self._tokens: dict[int, list[Token | int]] = {}
        self._open = set(range(num_sequences))
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._woken = False

    async def events(self) -> list[tuple[int, Event]]:
        if not self._events and not self._tokens and not self._woken:
            await self._wait()
        self._woken = False
        for index in list(self._tokens):
            self._flush(index)
        events, self._events = self._events, []
        if not self._open:
            self._close()
        return events

    def wake(self) -> None:
        self._woken = True
        self.wake_reader()

    def cancel(self) -> None:
        if self._open:
            self._give_up([self.jobs[index] for index in self._open])
            self._close()

    def put(self, index: int, event: Event) -> None:
        """Add an event of one sequence and wake the reader. Nothing follows a terminal one."""
        if index in self._open:
            self._flush(index)
            self._events.append((index, event))
            if isinstance(event, Finished | Failed):
                self._open.discard(index)
            self.wake_reader()

    def put_token(self, index: int, token: Token | int) -> None:
        """Add a token of one sequence; the caller wakes the reader."""
        if index in self._open:
            self._tokens.setdefault(index, []).append(token)

    def wake_reader(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _close(self) -> None:
        """Take no more events; what is here may still be read."""
        self._open.clear()
        # Jobs know the ticket, and the scheduler its last jobs: all would wait for the garbage collector.
        self.jobs, self._give_up = (), lambda jobs: None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        # One timer for all waits: a timeout around each would cost more than a token does.
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._expire)
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def _expire(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(DeadlineExceeded("the model did not answer within the request's time"))

    def _flush(self, index: int) -> None:
        held = self._tokens.pop(index, None)
        if held is not None:
            tokens = [Token(token) if isinstance(token, int) else token for token in held]
            self._events.append((index, Tokens(tokens)))
