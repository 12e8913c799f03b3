"""Sequences that feed back and advance together: booked as one while nobody joins or leaves.

Between two changes of its membership every tick does the same to every member. So a tick costs the
scheduler no work per sequence: ticks are counted, and the members' own counters catch up when one of
them ends, leaves or is looked at.
"""

from __future__ import annotations

from app.core.plan import BatchResult, DecodeBatch
from app.core.sequence import FinishReason, Token
from app.engine.job import End, Outcome
from app.engine.sequence_job import SequenceJob, TokenDelivery

_WITH_TOKEN = (FinishReason.LENGTH, FinishReason.STOP)
"""Ends whose last token is part of the text; an end token is not."""


class PlannedDecode:
    """Members of one decode batch, in its order.

    Args:
        jobs: with slots, and tokens left to produce.
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
        """A member leaves; its counters are right after it."""
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
        """Book a tick in which some member ends, fails or has left."""
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
