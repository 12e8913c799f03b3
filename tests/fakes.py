"""Fakes whose right answer is obvious: a clock that is set by hand, a network that adds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.plan import GroupPlan, GroupResult, Plan, PlanResult, SlotResult
from app.core.sequence import FinishReason, Read, SequenceRequest, Token


@dataclass
class FakeClock:
    """Seconds that pass only when told to."""

    now: float = 0.0

    def __call__(self) -> float:
        """The present reading."""
        return self.now


@dataclass
class _Lane:
    request: SequenceRequest
    cursor: int = 0
    total: float = 0.0


@dataclass
class SumExecutor:
    """A network whose state is the sum of its steps, and whose output is that state.

    Each produced token is the sum modulo 1000, fed back. ``fail_on`` may raise for a group;
    ``gate`` holds every execution until it is set.
    """

    fail_on: Callable[[GroupPlan], None] = lambda group: None
    gate: threading.Event | None = None
    lanes: dict[int, _Lane] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Start a slot at zero, or at the request's row."""
        assert slot not in self.lanes, "a slot is admitted only after it was released"
        start = 0.0 if request.start is None else float(request.start[0])
        self.lanes[slot] = _Lane(request, total=start)

    def row(self, slot: int) -> NDArray[np.float32]:
        """The sum as a row of one."""
        return np.array([self.lanes[slot].total], np.float32)

    def release(self, slot: int) -> None:
        """Forget the slot."""
        del self.lanes[slot]

    def execute(self, plan: Plan) -> PlanResult:
        """Add up."""
        self.plans.append(plan)
        if self.gate is not None:
            self.gate.wait(10)
        return PlanResult(tuple(self._run(group) for group in plan.groups))

    def _run(self, group: GroupPlan) -> GroupResult:
        try:
            self.fail_on(group)
        except RunFailed as error:
            return GroupResult(error=error, seconds=0.001)
        results = [
            self._advance(ref.index, group.length, read, sample)
            for ref, read, sample in zip(group.slots, group.read, group.sample, strict=True)
        ]
        return GroupResult(tuple(results), seconds=0.001)

    def _advance(self, slot: int, length: int, read: Read, sample: bool) -> SlotResult:
        lane = self.lanes[slot]
        sums: list[float] = []
        for _ in range(length):
            steps = lane.request.steps
            lane.total += float(steps[lane.cursor]) if lane.cursor < len(steps) else lane.total % 1000
            lane.cursor += 1
            sums.append(lane.total)
        wanted = {Read.NONE: [], Read.LAST: sums[-1:], Read.ALL: sums}[read]
        values = (np.array(wanted, np.float32),) if wanted else ()
        if not sample:
            return SlotResult(values)
        token = Token(int(lane.total % 1000))
        feedback = lane.request.feedback
        assert feedback is not None
        if token.id in feedback.end_tokens:
            return SlotResult(values, finish=FinishReason.END)
        stopped = feedback.stop is not None and feedback.stop(token.id)
        return SlotResult(values, token, FinishReason.STOP if stopped else None)
