"""What the layers ask of each other, as protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from app.core.beam import BeamRequest, BeamResult
from app.core.plan import Batch, BatchResult
from app.core.sequence import BlockRequest, BlockResult, Event, SequenceRequest


class Executor(Protocol):
    """Owns the slots' rows and runs the graph; called from its engine's turns only."""

    def admit(self, slot: int, request: SequenceRequest) -> None: ...

    def run(self, batch: Batch) -> BatchResult:
        """A run that fails is reported in the result, not raised."""

    def release(self, slot: int) -> None: ...


class Ticket(Protocol):
    """The reader's end of sequences that were submitted together."""

    async def events(self) -> list[tuple[int, Event]]:
        """Everything that happened since the last call: (index in the submission, event).

        Empty only after :meth:`wake`. Each index gets exactly one terminal event, its last.

        Raises:
            DeadlineExceeded: nothing came long after the deadline (the engine hangs).
        """

    def wake(self) -> None:
        """End the present or next wait in :meth:`events` early."""

    def cancel(self) -> None:
        """The sequences leave the batch at the next step. Harmless when they have ended."""


class Submitter(Protocol):
    """Where sequences are handed in."""

    @property
    def alive(self) -> bool: ...

    @property
    def full_for_s(self) -> float | None:
        """Seconds for which the queue likely stays above its high-water mark; ``None`` below. Cheap."""

    def submit(self, requests: Sequence[SequenceRequest], deadline: float) -> Ticket:
        """Queue sequences, all or none.

        Args:
            requests: at least one.
            deadline: ``time.monotonic()`` at which they are cancelled.

        Raises:
            Overloaded: the queue cannot take all of them.
            Draining: the engine takes no new work.
            EngineDead: the engine has ended.
        """

    def submit_block(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        """Queue a block; cancelling the future cancels it.

        Raises (at once):
            Overloaded, Draining, EngineDead: as :meth:`submit`.

        Raises (from the future):
            DeadlineExceeded, Draining, EngineDead: nothing of the block was done.
        """

    def submit_beam(self, request: BeamRequest, deadline: float) -> asyncio.Future[BeamResult]:
        """Queue a beam search; cancelling the future cancels it.

        Raises (at once):
            Overloaded, Draining, EngineDead: as :meth:`submit`.

        Raises (from the future):
            DeadlineExceeded, Draining, EngineDead: it did not end.
            RunFailed: one of its rows failed.
        """

    def submit_encode(self, request: BlockRequest, deadline: float) -> asyncio.Future[BlockResult]:
        """Queue whole inputs for the encoder of the bundle, of which :meth:`submit_block` knows nothing.

        Args:
            request: ``steps`` are whole inputs, each in one run: tokens ``[N, T]`` with ``lengths``, or
                numbers ``[N, 1, *shape]``. Of its other fields none is looked at.
            deadline: as in :meth:`submit`.

        The result's ``rows`` are those to start from; ``outputs`` has one array ``[N, L, C]``, behind whose
        lengths nothing counts, or none. Raises as :meth:`submit_block`, and RunFailed where the bundle has no
        encoder.
        """
