"""A sequence that holds a slot: how its supplied steps advance, and what its reader is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from app.core.plan import BatchResult, PrefillBatch
from app.core.sequence import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Outputs,
    Read,
    SequenceRequest,
    Terminal,
    Token,
)
from app.engine.job import End, Job, Outcome

if TYPE_CHECKING:
    from app.engine.ticket import EngineTicket


class SequenceJob(Job):
    """One sequence, whose events go to ``index`` of a ticket."""

    __slots__ = ("index", "request", "ticket")

    def __init__(
        self,
        number: int,
        request: SequenceRequest,
        deadline: float,
        now: float,
        ticket: EngineTicket,
        index: int = 0,
    ) -> None:
        super().__init__(number, deadline, now, len(request.steps), request.read)
        if request.feedback is not None:
            self.to_produce = request.feedback.max_tokens
        self.request = request
        self.ticket = ticket
        self.index = index

    @property
    def mates(self) -> Sequence[Job]:
        return ()

    def plan(self, jobs: Sequence[Self], length: int) -> PlannedPrefill:
        slots: list[int] = []
        read: list[Read] = []
        sample: list[bool] = []
        for job in jobs:
            last = job.supplied <= length
            if job.slot is not None:
                slots.append(job.slot)
            read.append(Read.NONE if job.read is Read.LAST and not last else job.read)
            sample.append(last and job.to_produce > 0)
        return PlannedPrefill(jobs, PrefillBatch(tuple(slots), length, tuple(read), tuple(sample)))

    def end(self, end: End, now: float) -> SequenceEvent:
        usage = self.usage(now)
        terminal: Terminal = Finished(end, usage) if isinstance(end, FinishReason) else Failed(end, usage)
        return SequenceEvent(self, terminal, held=True)


@dataclass(slots=True, eq=False)
class SequenceEvent:
    """An event on its way to the reader of a sequence."""

    job: SequenceJob
    event: Event
    held: bool = False

    def deliver(self) -> None:
        self.job.ticket.put(self.job.index, self.event)


@dataclass(slots=True, eq=False)
class TokenDelivery:
    """A token for each of the jobs, in their order; plain ids where nothing else was asked for.

    Attributes:
        held: they are not the first ones.
    """

    jobs: Sequence[SequenceJob]
    tokens: Sequence[Token | int]
    held: bool = False

    def deliver(self) -> None:
        woken: EngineTicket | None = None
        for job, token in zip(self.jobs, self.tokens, strict=True):
            ticket = job.ticket
            ticket.put_token(job.index, token)
            if ticket is not woken:  # readers run after this callback, so once is enough
                woken = ticket
                ticket.wake_reader()


@dataclass(slots=True, eq=False)
class PlannedPrefill:
    """Sequences whose supplied steps advance together."""

    jobs: Sequence[SequenceJob]
    batch: PrefillBatch

    def book(self, result: BatchResult, outcome: Outcome) -> None:
        batch, tokens = self.batch, iter(result.tokens)
        drawn: list[SequenceJob] = []
        ids: list[Token | int] = []
        for place, job in enumerate(self.jobs):
            token = next(tokens, 0) if batch.sample[place] else None
            if job.gone:
                continue
            job.advance(batch.length, batch.rows, result.seconds)
            outcome.steps += batch.length
            end: End | None = result.errors.get(place) or result.ended.get(place)
            if place not in result.errors and batch.read[place] is not Read.NONE and result.values:
                outcome.outputs.append(SequenceEvent(job, _outputs(job, batch.read[place], place, result)))
            if token is not None and (end is None or end is FinishReason.STOP):
                job.produced += 1
                job.to_produce -= 1
                outcome.steps += 1
                drawn.append(job)
                ids.append(token)
            if end is None and job.supplied == 0:
                if job.to_produce:
                    outcome.starting.append(job)
                else:
                    end = FinishReason.LENGTH if job.produced else FinishReason.SUPPLIED
            if end is not None:
                outcome.ends.append((job, end))
        if drawn:
            outcome.tokens.append(TokenDelivery(drawn, ids))


def _outputs(job: SequenceJob, read: Read, place: int, result: BatchResult) -> Outputs:
    first = None if read is Read.ALL else -1
    # Copies, so that one reader does not keep the whole batch's output alive.
    values = tuple([value[place, first:].copy() for value in result.values])
    return Outputs(job.consumed - len(values[0]), values)
