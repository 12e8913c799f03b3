"""The reader's end of sequences that were submitted together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.core.sequence import Event
from app.engine.mailbox import Mailbox


class EngineTicket:
    """Implements ``app.core.ports.Ticket``.

    Args:
        abort: gives sequences up by their numbers.
        first: number of the submission's first sequence; the others follow it.
        mailbox: where events arrive.
        until: reading of the loop's clock after which a wait is given up.
    """

    __slots__ = ("_abort", "_first", "_mailbox", "_until")

    def __init__(
        self, abort: Callable[[Iterable[int]], None], first: int, mailbox: Mailbox, until: float
    ) -> None:
        self._abort = abort
        self._first = first
        self._mailbox = mailbox
        self._until = until

    async def events(self) -> list[tuple[int, Event]]:
        """Everything since the last call; see :class:`~app.core.ports.Ticket`."""
        return await self._mailbox.take(self._until)

    def wake(self) -> None:
        """End the present or next wait early."""
        self._mailbox.wake()

    def cancel(self) -> None:
        """Give the sequences up; harmless when they have ended."""
        if self._mailbox.open:
            self._abort([self._first + index for index in self._mailbox.open])
            self._mailbox.close()
