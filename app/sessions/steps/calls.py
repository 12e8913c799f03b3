"""Calls on sessions that wait to be applied: who submitted them, and in which order they are due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.access.principal import Principal
from app.core.errors import RnnserveError
from app.core.sequence import Source
from app.service.call import RequestClock
from app.service.catalog import Deployment
from app.service.encoded_sources import Lease

Outcome = bytes | RnnserveError
"""The JSON bytes of a step answer, or why there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class StepCall:
    """``seq`` is the number of the first step it writes, or ``None`` for at most once."""

    id: str
    inputs: Any
    seq: int | None = None


@dataclass(slots=True, eq=False)
class Submission:
    """Calls that one caller submitted together.

    Attributes:
        num_left: calls without an outcome.
        done: gets the outcomes once all are there; done before that, nobody waits for them any more.
        failed: by session key, the first error of these calls.
    """

    outcomes: list[Any]
    num_left: int
    done: asyncio.Future[list[Outcome]]
    principal: Principal | None
    clock: RequestClock | None
    failed: dict[str, RnnserveError] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class PendingCall:
    """A call that waits for its outcome.

    Attributes:
        index: in its submission.
        alone: it is not to share a sequence, since one that it shared has failed.
        charged: its steps have been counted against its principal's limit.
    """

    call: StepCall
    key: str
    submission: Submission
    index: int
    alone: bool = False
    digest: str = ""
    charged: bool = False

    def settle(self, outcome: Outcome) -> None:
        submission = self.submission
        if isinstance(outcome, RnnserveError):
            submission.failed.setdefault(self.key, outcome)
        submission.outcomes[self.index] = outcome
        submission.num_left -= 1
        if submission.num_left == 0 and not submission.done.done():
            submission.done.set_result(submission.outcomes)


@dataclass(slots=True, eq=False)
class SessionQueue:
    """The calls on one session, of all callers, in the order of their arrival.

    Attributes:
        running: calls that are being applied.
        busy: whether a batch works on the session.
        pinned: the model version it is on, which stays in memory while calls wait or run; once that is known.
        needed: work that must be done before calls can run; they are set aside until it is done.
        lease: of what an encoder made of ``source``, the whole input that the session's steps attend to; held
            as long as ``pinned`` is.
    """

    key: str
    id: str
    owner: str
    waiting: deque[PendingCall] = field(default_factory=deque)
    running: list[PendingCall] = field(default_factory=list)
    busy: bool = False
    pinned: Deployment | None = None
    needed: Callable[[], Awaitable[None]] | None = None
    lease: Lease | None = None
    source: Source | None = None

    def attends_to(self, source: Source) -> bool:
        return self.source is not None and np.array_equal(self.source, source)

    def let_go(self) -> None:
        """Need neither the model nor what its encoder made any more."""
        if self.pinned is not None:
            self.pinned.uses -= 1
        if self.lease is not None:
            self.lease.close()
        self.pinned = self.lease = self.source = None

    def first(self) -> PendingCall | None:
        """The call that is due; those that nobody waits for are dropped."""
        while self.waiting:
            if not self.waiting[0].submission.done.done():
                return self.waiting[0]
            self.waiting.popleft()
        return None

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        running, self.running = self.running, []
        for pending, outcome in zip(running, outcomes, strict=True):
            pending.settle(outcome)

    def retry(self, *, alone: bool) -> None:
        """Try the running calls again, before those that wait."""
        running, self.running = self.running, []
        for pending in running:
            pending.alone = pending.alone or alone
        self.waiting.extendleft(reversed(running))

    def refuse_unnumbered(self, error: RnnserveError) -> None:
        """Fail what waits without a ``seq``: nobody knows any more which step it would be."""
        numbered = [pending for pending in self.waiting if pending.call.seq is not None]
        unnumbered = [pending for pending in self.waiting if pending.call.seq is None]
        self.waiting = deque(numbered)
        for pending in unnumbered:
            pending.settle(error)

    def fail(self, error: Exception) -> None:
        """No call can be applied. What is no error of ours is raised at the callers."""
        everything, self.running = [*self.running, *self.waiting], []
        self.waiting.clear()
        for pending in everything:
            if isinstance(error, RnnserveError):
                pending.settle(error)
            elif not pending.submission.done.done():
                pending.submission.done.set_exception(error)
