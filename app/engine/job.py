"""A sequence while the engine knows it: counters only, no arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.core.plan import SlotRef
from app.core.sequence import Read, SequenceRequest, Usage


@dataclass(slots=True, eq=False)
class Job:
    """One sequence's place in the schedule.

    Attributes:
        number: unique in the engine, ascending by arrival.
        deadline: clock reading at which it is given up.
        supplied: supplied steps still to be consumed.
        read: which supplied steps to read.
        to_produce: tokens it may still produce.
        slot: where its row is, once admitted.
        last_turn: grows each time it advances; the job with the lowest goes first.
        usage counters: see :class:`~app.core.sequence.Usage`.
    """

    number: int
    deadline: float
    supplied: int
    read: Read
    to_produce: int
    submitted_at: float
    slot: SlotRef | None = None
    last_turn: int = -1
    consumed: int = 0
    produced: int = 0
    started_at: float | None = None
    compute_s: float = field(default=0.0)
    largest_batch: int = 0

    @classmethod
    def of(cls, number: int, request: SequenceRequest, deadline: float, now: float) -> Job:
        """The job of a request."""
        return cls(
            number=number,
            deadline=deadline,
            supplied=len(request.steps),
            read=request.read,
            to_produce=request.feedback.max_tokens if request.feedback else 0,
            submitted_at=now,
        )

    @property
    def steps_left(self) -> int:
        """The most steps it can still take."""
        return self.supplied + self.to_produce

    def usage(self, now: float) -> Usage:
        """What it has cost so far."""
        started = now if self.started_at is None else self.started_at
        return Usage(
            queue_s=max(0.0, started - self.submitted_at),
            compute_s=self.compute_s,
            supplied=self.consumed,
            produced=self.produced,
            largest_batch=self.largest_batch,
        )
