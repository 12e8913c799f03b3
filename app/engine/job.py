"""Work in the schedule, and what a tick brought it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from app.core.errors import RnnserveError, RunFailed
from app.core.plan import Batch, BatchResult
from app.core.sequence import FinishReason, Read, Usage

if TYPE_CHECKING:
    from app.engine.beam_job import BeamJob
    from app.engine.sequence_job import SequenceEvent, SequenceJob, TokenDelivery

End = FinishReason | RnnserveError
ResultT = TypeVar("ResultT")


def settle(future: asyncio.Future[ResultT], outcome: ResultT | RnnserveError) -> None:
    """On the event loop; where nobody waits any more, nothing happens."""
    if future.done():
        return
    if isinstance(outcome, RnnserveError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


class Delivery(Protocol):
    """Something for the event loop to hand to whoever waits for it."""

    held: bool
    """Whether it may wait for those that follow, to share a wake-up with them."""

    def deliver(self) -> None: ...


class Planned(Protocol):
    """A batch of the present tick and the jobs it advances, in the order of its rows."""

    @property
    def batch(self) -> Batch: ...

    @property
    def jobs(self) -> Sequence[Job]: ...

    def book(self, result: BatchResult, outcome: Outcome) -> None:
        """Book what the batch brought; jobs that have gone meanwhile are passed over."""
        ...


@dataclass(slots=True, eq=False)
class Outcome:
    """What a tick brought. Of one job, outputs are to be delivered before tokens, and these before its end.

    A job that ``ends`` keeps its slot until it is removed; those ``starting`` feed back or search from then
    on; ``steps`` are what the jobs have left less than before.
    """

    outputs: list[SequenceEvent] = field(default_factory=list)
    tokens: list[TokenDelivery] = field(default_factory=list)
    ends: list[tuple[Job, End]] = field(default_factory=list)
    starting: list[SequenceJob | BeamJob] = field(default_factory=list)
    steps: int = 0


@dataclass(slots=True, eq=False)
class Job(ABC):
    """What the scheduler advances as one: a sequence that holds a slot, a search, or rows of a block.

    Attributes:
        number: unique in the engine, ascending by arrival.
        supplied, to_produce: supplied steps and tokens that are left.
        width: rows that advance together.
        last_turn: grows each time it advances; the job with the lowest goes first.
        gone: it has left the schedule.
        row_failures: of rows that fail without the others, by row.
    """

    number: int
    deadline: float
    submitted_at: float
    supplied: int
    read: Read
    width: int = 1
    to_produce: int = 0
    slot: int | None = None
    last_turn: int = -1
    gone: bool = False
    consumed: int = 0
    row_failures: Mapping[int, RunFailed] = field(default_factory=dict)
    produced: int = 0
    started_at: float | None = None
    compute_s: float = 0.0
    largest_batch: int = 0

    @property
    def steps_left(self) -> int:
        """The most steps it can still take, all rows together."""
        return (self.supplied + self.to_produce) * self.width

    @property
    def urgency(self) -> tuple[int, float, int]:
        return self.last_turn, self.deadline, self.number

    @property
    def mates(self) -> Sequence[Job]:
        """The jobs that fail when this one fails."""
        return ()

    @abstractmethod
    def plan(self, jobs: Sequence[Self], length: int) -> Planned:
        """A batch of jobs of this kind, which advance by ``length`` supplied steps."""

    @abstractmethod
    def end(self, end: End, now: float) -> Delivery | None:
        """What to deliver at its end; ``None`` while there is more to wait for. Called when it has gone."""

    def advance(self, length: int, rows: int, seconds: float) -> None:
        self.supplied -= length
        self.consumed += length
        self.compute_s += seconds
        self.largest_batch = max(self.largest_batch, rows)

    def usage(self, now: float) -> Usage:
        started = now if self.started_at is None else self.started_at
        return Usage(
            queue_s=max(0.0, started - self.submitted_at),
            compute_s=self.compute_s,
            supplied=self.consumed * self.width,
            produced=self.produced,
            largest_batch=self.largest_batch,
        )
