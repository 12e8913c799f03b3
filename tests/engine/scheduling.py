"""Jobs for a scheduler, fabricated results of their batches, and ticks without an engine."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from app.core.beam import BeamRequest
from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BeamBatch, BlockBatch, DecodeBatch
from app.core.sequence import BlockRequest, Feedback, Read, Sampling, SequenceRequest
from app.engine.beam_job import BeamJob
from app.engine.block import Block, BlockJob
from app.engine.job import Job, Outcome
from app.engine.scheduler import Scheduler
from app.engine.sequence_job import SequenceJob
from app.engine.ticket import EngineTicket

SECONDS = 0.001


def make_job(
    number: int, supplied: int, produce: int = 0, read: Read = Read.NONE, deadline: float = 100.0
) -> SequenceJob:
    """A job of a sequence of that many steps."""
    feedback = Feedback(produce, Sampling()) if produce else None
    ticket = EngineTicket(1, lambda jobs: None, 0.0)
    return SequenceJob(number, SequenceRequest(np.zeros(supplied), read, feedback), deadline, 0.0, ticket)


def make_block(number: int, width: int, length: int, deadline: float = 100.0) -> BlockJob:
    """The job of a block of that many rows and steps."""
    block = Block(BlockRequest(np.zeros((width, length))), deadline)
    waiting: Any = SimpleNamespace(done=lambda: False)
    block.add(BlockRequest(np.zeros((width, length))), waiting, deadline)
    (job,) = block.cut(width, number, 0.0)
    return job


def make_search(number: int, width: int, fed: int, max_tokens: int, deadline: float = 100.0) -> BeamJob:
    """The job of a search that is fed so many steps before its rows go on together."""
    request = BeamRequest(np.zeros(fed + 1, np.int64), width, max_tokens)
    waiting: Any = SimpleNamespace(done=lambda: False)
    return BeamJob(number, request, deadline, 0.0, waiting)


def answer(batch: Batch) -> BatchResult:
    """A result as an executor would give it: a value per step and row, one token per sample.

    Searches count their steps, and end at their maximum.
    """
    if isinstance(batch, BlockBatch):
        return BatchResult(seconds=SECONDS)
    if isinstance(batch, BeamBatch):
        for part in batch.parts:
            part.search = 1 + (part.search or 0)
            part.hypotheses = [] if part.search == part.request.max_tokens else None
        return BatchResult(seconds=SECONDS)
    sampled = batch.rows if isinstance(batch, DecodeBatch) else sum(batch.sample)
    return BatchResult((np.zeros((batch.rows, batch.length), np.float32),), [7] * sampled, seconds=SECONDS)


def failure(batch: Batch, error: RunFailed) -> BatchResult:
    """The result of a run that failed as a whole."""
    return BatchResult(errors=dict.fromkeys(range(batch.rows), error), seconds=SECONDS)


@dataclass(slots=True, eq=False)
class Tick:
    """What was decided in a tick."""

    expired: list[Job]
    admitted: list[SequenceJob]
    batches: list[Batch]


def decide(scheduler: Scheduler, now: float = 0.0) -> Tick:
    """A tick as the engine begins it: jobs that have expired are removed."""
    expired = scheduler.expired(now)
    for job in expired:
        scheduler.remove(job)
    return Tick(expired, scheduler.admit(), scheduler.plan(now))


def lengths(batches: list[Batch]) -> list[tuple[int, int]]:
    """Length and rows of each batch."""
    return [(batch.length, batch.rows) for batch in batches]


def turn(scheduler: Scheduler, now: float = 0.0) -> tuple[Tick, Outcome]:
    """One tick; jobs that ended are removed as the engine does."""
    tick = decide(scheduler, now)
    outcome = scheduler.commit([answer(batch) for batch in tick.batches])
    for job, _ in outcome.ends:
        scheduler.remove(job)
    return tick, outcome


def producers(outcome: Outcome) -> list[int]:
    """Numbers of the jobs that got a token."""
    return [job.number for tokens in outcome.tokens for job in tokens.jobs]
