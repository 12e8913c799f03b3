"""What has happened and has not been read yet: the engine's callback puts, one reader takes."""

from __future__ import annotations

import asyncio

from app.core.errors import DeadlineExceeded
from app.core.sequence import Event, Outputs, Terminal, Token, Tokens


class Mailbox:
    """Events of the sequences that were submitted together. Used on one event loop only.

    Tokens coalesce: a reader that looks rarely finds one event with all of them.

    Args:
        num_sequences: how many; each gets exactly one terminal event.
    """

    __slots__ = ("_events", "_open", "_timer", "_tokens", "_waiter", "_woken")

    def __init__(self, num_sequences: int) -> None:
        self._events: list[tuple[int, Event]] = []
        self._tokens: dict[int, list[Token | int]] = {}
        self._open = set(range(num_sequences))
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._woken = False

    @property
    def open(self) -> set[int]:
        """Indices of the sequences whose terminal event has not come."""
        return self._open

    def put_outputs(self, index: int, outputs: Outputs) -> None:
        """Add outputs of one sequence. They come before its tokens."""
        if index in self._open:
            self._events.append((index, outputs))
            self.wake_reader()

    def put_token(self, index: int, token: Token | int) -> None:
        """Add a token of one sequence; the caller wakes the reader."""
        if index in self._open:
            held = self._tokens.get(index)
            if held is None:
                self._tokens[index] = [token]
            else:
                held.append(token)

    def put_end(self, index: int, end: Terminal) -> None:
        """Add the last event of one sequence. Nothing follows it."""
        if index in self._open:
            self._flush(index)
            self._events.append((index, end))
            self._open.discard(index)
            self.wake_reader()

    def close(self) -> None:
        """Take no more events; what is here may still be read."""
        self._open.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wake(self) -> None:
        """End the reader's wait, or its next one, with whatever there is."""
        self._woken = True
        self.wake_reader()

    def wake_reader(self) -> None:
        """Let a waiting reader look."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def take(self, until: float) -> list[tuple[int, Event]]:
        """All events since the last call; none only after :meth:`wake`.

        Args:
            until: reading of the loop's clock after which the wait is given up; of one mailbox
                it is always the same.

        Raises:
            DeadlineExceeded: nothing came in time.
        """
        if not self._events and not self._tokens and not self._woken:
            await self._wait(until)
        self._woken = False
        for index in list(self._tokens):
            self._flush(index)
        events, self._events = self._events, []
        if not self._open:
            self.close()
        return events

    async def _wait(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        # One timer for all waits: a timeout around each would cost more than a token does.
        if self._timer is None:
            self._timer = loop.call_at(until, self._expire)
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
            tokens = [Token(one) if isinstance(one, int) else one for one in held]
            self._events.append((index, Tokens(tokens)))
