"""Calls on sessions that wait to be applied: who handed them in, and in which order they are due.

A group is what one caller handed in together. A line holds all calls on one session, whoever
handed them in, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.access.principal import Principal
from app.core.errors import RnnserveError
from app.core.sequence import Usage
from app.service.call import Timing

Outcome = bytes | RnnserveError
"""The JSON bytes of a step answer, or why there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class StepCall:
    """One call on one session.

    Attributes:
        id: of the session.
        inputs: in the task's own terms.
        seq: number of the first step it writes, or ``None`` for at most once.
    """

    id: str
    inputs: Any
    seq: int | None = None


class StepClock:
    """Where the time of calls that were handed in together goes; filled in while they are applied."""

    __slots__ = ("_compute_s", "_queue_s", "_started")

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._queue_s = 0.0
        self._compute_s = 0.0

    def add(self, usage: Usage) -> None:
        """One of them has run; they run side by side, so the longest counts."""
        self._queue_s = max(self._queue_s, usage.queue_s)
        self._compute_s = max(self._compute_s, usage.compute_s)

    def timing(self) -> Timing:
        """The time so far."""
        return Timing(self._queue_s, self._compute_s, time.perf_counter() - self._started)


class StepGroup:
    """What one caller handed in, and what has become of it.

    Attributes:
        principal: whose calls they are; ``None`` without keys.
        clock: is told what they cost; ``None`` where nobody asks.
        done: gets the outcomes in the order of the calls once all are settled.
        failed: by session, the first error of the group's calls.
    """

    __slots__ = ("_left", "_outcomes", "clock", "done", "failed", "principal")

    def __init__(
        self,
        size: int,
        done: asyncio.Future[list[Outcome]],
        principal: Principal | None = None,
        clock: StepClock | None = None,
    ) -> None:
        self.principal = principal
        self.clock = clock
        self._outcomes: list[Any] = [None] * size
        self._left = size
        self.done = done
        self.failed: dict[str, RnnserveError] = {}

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the outcomes any more."""
        return self.done.done()

    def settle(self, place: int, outcome: Outcome) -> None:
        """Note one outcome; the last one tells the caller."""
        self._outcomes[place] = outcome
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(self._outcomes)


@dataclass(slots=True, eq=False)
class PendingStep:
    """A call that waits for its outcome.

    Attributes:
        alone: it is not to share a sequence, since one that it shared has failed.
        digest: of its inputs, once it is known.
        charged: its steps have been counted against its principal's limit.
    """

    call: StepCall
    group: StepGroup
    place: int
    alone: bool = False
    digest: str | None = None
    charged: bool = False

    def charge(self, steps: int) -> None:
        """Count its steps, once. A round works for many callers, so no context says whose they are.

        Raises:
            RateLimited: the principal has asked for too many steps lately.
        """
        principal = self.group.principal
        if principal is not None and principal.counts_steps and not self.charged:
            principal.take_steps(steps)
            self.charged = True


@dataclass(slots=True, eq=False)
class StepLine:
    """The calls on one session. A round takes them from the front and settles them.

    Attributes:
        key: under which the store holds the session.
        busy: whether a round works on it.
    """

    key: str
    id: str
    owner: str
    waiting: deque[PendingStep] = field(default_factory=deque)
    begun: list[PendingStep] = field(default_factory=list)
    busy: bool = False

    def front(self) -> PendingStep | None:
        """The call that is due; those that nobody waits for are passed over."""
        while self.waiting:
            if not self.waiting[0].group.abandoned:
                return self.waiting[0]
            self.waiting.popleft()
        return None

    def begin(self) -> None:
        """The call at the front is being applied."""
        self.begun.append(self.waiting.popleft())

    def settle(self, pending: PendingStep, outcome: Outcome) -> None:
        """A call has its outcome."""
        if isinstance(outcome, RnnserveError):
            pending.group.failed.setdefault(self.key, outcome)
        pending.group.settle(pending.place, outcome)

    def settle_front(self, outcome: Outcome) -> None:
        """The call at the front has its outcome without having begun."""
        self.settle(self.waiting.popleft(), outcome)

    def settle_begun(self, outcomes: Sequence[Outcome]) -> None:
        """All calls that had begun have their outcomes."""
        begun, self.begun = self.begun, []
        for pending, outcome in zip(begun, outcomes, strict=True):
            self.settle(pending, outcome)

    def put_back(self, *, alone: bool) -> None:
        """All calls that had begun are to be tried again, before those that wait."""
        begun, self.begun = self.begun, []
        for pending in begun:
            pending.alone = pending.alone or alone
        self.waiting.extendleft(reversed(begun))

    def fail(self, error: Exception) -> None:
        """No call of the line can be applied. What is no error of ours is raised at the callers."""
        everything, self.begun = [*self.begun, *self.waiting], []
        self.waiting.clear()
        for pending in everything:
            if isinstance(error, RnnserveError):
                self.settle(pending, error)
            elif not pending.group.done.done():
                pending.group.done.set_exception(error)
