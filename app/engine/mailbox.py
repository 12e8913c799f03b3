"""Where a submission's events wait for their reader, on the event loop.

The engine thread never touches a mailbox; it posts one callback per tick that fills many. A
reader takes all that has come since its last look, so a slow one gets larger helpings of what
is bounded by its sequences' own lengths.
"""

from __future__ import annotations

import asyncio

from app.core.errors import DeadlineExceeded
from app.core.sequence import Event, Failed, Finished


class Mailbox:
    """Events of the sequences that were submitted together. Used on one event loop only.

    Args:
        num_sequences: how many; each gets exactly one terminal event.
    """

    __slots__ = ("_events", "_open", "_waiter", "_woken")

    def __init__(self, num_sequences: int) -> None:
        self._events: list[tuple[int, Event]] = []
        self._open = set(range(num_sequences))
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False

    @property
    def open(self) -> set[int]:
        """Indices of the sequences whose terminal event has not come."""
        return self._open

    def put(self, index: int, events: list[Event]) -> None:
        """Add events of one sequence and wake the reader. Nothing follows a terminal event."""
        if index not in self._open:
            return
        self._events.extend([(index, event) for event in events])
        if isinstance(events[-1], Finished | Failed):
            self._open.discard(index)
        self._release()

    def close(self) -> None:
        """Take no more events; what is here may still be read."""
        self._open.clear()

    def wake(self) -> None:
        """End the reader's wait, or its next one, with whatever there is."""
        self._woken = True
        self._release()

    async def take(self, until: float) -> list[tuple[int, Event]]:
        """All events since the last call; none only after :meth:`wake`.

        Args:
            until: reading of the loop's clock after which the wait is given up.

        Raises:
            DeadlineExceeded: nothing came in time.
        """
        if not self._events and not self._woken:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout_at(until):
                    await self._waiter
            except TimeoutError as error:
                raise DeadlineExceeded("the model did not answer within the request's time") from error
            finally:
                self._waiter = None
        self._woken = False
        events, self._events = self._events, []
        return events

    def _release(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
