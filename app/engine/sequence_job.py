"""Sequences that hold a slot: how they advance, in prefill and in decode, and what their readers are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.core.plan import BatchResult, DecodeBatch, PrefillBatch
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
from app.engine.ticket import EngineTicket

_WITH_TOKEN = (FinishReason.LENGTH, FinishReason.STOP)
"""Ends whose last token is part of the text; an end token is not."""


class SequenceJob(Job):
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
    job: SequenceJob
    event: Event
    held: bool = False

    def deliver(self) -> None:
        self.job.ticket.put(self.job.index, self.event)


@dataclass(slots=True, eq=False)
class TokenDelivery:
    """A token for each of the jobs; ``held`` where they are not the first ones."""

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
                first = None if batch.read[place] is Read.ALL else -1
                # Copies, so that one reader does not keep the whole batch's output alive.
                values = tuple([value[place, first:].copy() for value in result.values])
                outputs = Outputs(job.consumed - len(values[0]), values)
                outcome.outputs.append(SequenceEvent(job, outputs))
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


class PlannedDecode:
    """Sequences that feed back and advance together: booked as one while nobody joins or leaves.

    Until then a tick does the same to every member: ticks are counted, and the members catch up later.
    """

    __slots__ = ("_changed", "_seconds", "_ticks", "_until", "batch", "jobs")

    def __init__(self, jobs: list[SequenceJob]) -> None:
        self.jobs = jobs
        self.batch = DecodeBatch(tuple([job.slot for job in jobs if job.slot is not None]))
        self._changed = False
        self._ticks = 0
        self._seconds = 0.0
        self._until = 0
        self._renew()

    def book(self, result: BatchResult, outcome: Outcome) -> None:
        self._ticks += 1
        self._seconds += result.seconds
        if self._changed or result.ended or result.errors or self._ticks >= self._until:
            self._book_each(result, outcome)
        else:
            outcome.tokens.append(TokenDelivery(self.jobs, result.tokens, held=True))
            outcome.steps += len(self.jobs)

    def leave(self) -> None:
        self.settle()
        self._changed = True

    def settle(self) -> None:
        """Bring the members' own counters up to date."""
        if not self._ticks:
            return
        for job in self.jobs:
            job.produced += self._ticks
            job.to_produce -= self._ticks
            job.compute_s += self._seconds
        self._ticks = 0
        self._seconds = 0.0
        self._renew()

    def _book_each(self, result: BatchResult, outcome: Outcome) -> None:
        self.settle()
        heard: list[SequenceJob] = []
        tokens: list[Token | int] = []
        for place, job in enumerate(self.jobs):
            end: End | None = result.errors.get(place) or result.ended.get(place)
            if end is None and job.to_produce == 0:
                end = FinishReason.LENGTH
            with_token = end is None or end in _WITH_TOKEN
            if not with_token:
                job.produced -= 1
            if job.gone:
                continue
            outcome.steps += 1
            if with_token:
                heard.append(job)
                tokens.append(result.tokens[place])
            if end is not None:
                outcome.ends.append((job, end))
        outcome.tokens.append(TokenDelivery(heard, tokens, held=True))

    def _renew(self) -> None:
        self._until = min([job.to_produce for job in self.jobs])
        size = len(self.jobs)
        for job in self.jobs:
            job.largest_batch = max(job.largest_batch, size)
