"""A sequence, or a block of them, while the engine knows it: counters, and where its events go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.plan import SlotRef
from app.core.sequence import BlockRequest, Read, SequenceRequest, Usage

if TYPE_CHECKING:
    from app.engine.block import Block
    from app.engine.cohort import Cohort
    from app.engine.mailbox import Mailbox


@dataclass(slots=True, eq=False)
class Job:
    """One sequence's place in the schedule, or that of a block's rows, which advance as one.

    Attributes:
        number: unique in the engine, ascending by arrival.
        deadline: clock reading at which it is given up.
        supplied: supplied steps still to be consumed.
        read: which supplied steps to read.
        to_produce: tokens it may still produce.
        submitted_at: clock reading.
        width: rows; one for a sequence.
        slot: where a sequence's row is, once admitted. A block has none: its rows are its own.
        cohort: with whom it feeds back, if it does. Until that settles, the counters of a
            member are behind by the cohort's.
        last_turn: grows each time it advances; the job with the lowest goes first.
        request, mailbox, index: of a sequence: what was asked for, and where its events go.
        block, part: of a block's rows: what they belong to, and what was asked for.
        usage counters: see :class:`~app.core.sequence.Usage`.
    """

    number: int
    deadline: float
    supplied: int
    read: Read
    to_produce: int
    submitted_at: float
    width: int = 1
    slot: SlotRef | None = None
    cohort: Cohort | None = None
    last_turn: int = -1
    request: SequenceRequest | None = None
    mailbox: Mailbox | None = None
    index: int = 0
    block: Block | None = None
    part: BlockRequest | None = None
    consumed: int = 0
    produced: int = 0
    started_at: float | None = None
    compute_s: float = 0.0
    largest_batch: int = 0

    @classmethod
    def of(
        cls,
        number: int,
        request: SequenceRequest,
        deadline: float,
        now: float,
        mailbox: Mailbox | None = None,
        index: int = 0,
    ) -> Job:
        """The job of a sequence, whose events go to ``index`` of a mailbox."""
        return cls(
            number=number,
            deadline=deadline,
            supplied=len(request.steps),
            read=request.read,
            to_produce=request.feedback.max_tokens if request.feedback else 0,
            submitted_at=now,
            request=request,
            mailbox=mailbox,
            index=index,
        )

    @classmethod
    def of_block(
        cls, number: int, request: BlockRequest, deadline: float, now: float, block: Block | None = None
    ) -> Job:
        """The job of a block's rows."""
        return cls(
            number=number,
            deadline=deadline,
            supplied=request.steps.shape[1],
            read=request.read,
            to_produce=0,
            submitted_at=now,
            width=request.steps.shape[0],
            block=block,
            part=request,
        )

    @property
    def is_block(self) -> bool:
        """Whether its rows are its own, so that it needs no slot."""
        return self.part is not None

    @property
    def steps_left(self) -> int:
        """The most steps it can still take, all rows together."""
        return (self.supplied + self.to_produce) * self.width

    def usage(self, now: float) -> Usage:
        """What it has cost so far."""
        started = now if self.started_at is None else self.started_at
        return Usage(
            queue_s=max(0.0, started - self.submitted_at),
            compute_s=self.compute_s,
            supplied=self.consumed * self.width,
            produced=self.produced,
            largest_batch=self.largest_batch,
        )
