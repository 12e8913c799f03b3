"""Fakes whose right answer is obvious: a clock that is set by hand, a network that adds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.plan import (
    AnyPlan,
    BlockOutput,
    BlockPlan,
    DecodePlan,
    GroupPlan,
    GroupResult,
    Plan,
    PlanResult,
)
from app.core.sequence import BlockRequest, FinishReason, Read, SequenceRequest


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
    last: int = 0


@dataclass
class SumExecutor:
    """A network whose state is the sum of its steps, and whose output is that state.

    Each produced token is the sum modulo 1000, fed back. ``fail_on`` may raise for a group;
    ``gate`` holds every execution until it is set.
    """

    fail_on: Callable[[AnyPlan], None] = lambda group: None
    gate: threading.Event | None = None
    lanes: dict[int, _Lane] = field(default_factory=dict)
    blocks: dict[int, BlockRequest] = field(default_factory=dict)
    failed_blocks: dict[int, RunFailed] = field(default_factory=dict)
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

    def open_block(self, number: int, request: BlockRequest) -> None:
        """Take a block up."""
        assert number not in self.blocks, "a block's number is used once"
        self.blocks[number] = request

    def take_block(self, number: int) -> BlockOutput:
        """All its sums at once; the plans only say how long it took."""
        request = self.blocks.pop(number)
        num = len(request.steps)
        starts = np.zeros((num, 1), np.float32) if request.starts is None else request.starts.copy()
        if request.fresh is not None:
            starts[request.fresh] = 0
        sums = starts + np.cumsum(request.steps, axis=1, dtype=np.float32)
        wanted = {Read.NONE: sums[:, :0], Read.LAST: sums[:, -1:], Read.ALL: sums}[request.read]
        error = self.failed_blocks.pop(number, None)
        return BlockOutput((wanted,), sums[:, -1:], {} if error is None else dict.fromkeys(range(num), error))

    def drop_block(self, number: int) -> None:
        """Forget a block."""
        self.blocks.pop(number, None)
        self.failed_blocks.pop(number, None)

    def execute(self, plan: Plan) -> PlanResult:
        """Add up."""
        self.plans.append(plan)
        if self.gate is not None:
            self.gate.wait(10)
        return PlanResult(tuple(self._run(group) for group in plan.groups))

    def _run(self, group: AnyPlan) -> GroupResult:
        try:
            self.fail_on(group)
        except RunFailed as error:
            if isinstance(group, BlockPlan):
                self.failed_blocks.update(dict.fromkeys(group.numbers, error))
            return GroupResult(errors=dict.fromkeys(range(group.rows), error), seconds=0.001)
        if isinstance(group, BlockPlan):
            assert all(number in self.blocks for number in group.numbers)
            return GroupResult(seconds=0.001)
        sums = [self._advance(ref.index, group) for ref in group.slots]
        sampled = [True] * group.rows if isinstance(group, DecodePlan) else group.sample
        tokens: list[int] = []
        ended: dict[int, FinishReason] = {}
        for place, (ref, sample) in enumerate(zip(group.slots, sampled, strict=True)):
            if sample:
                lane = self.lanes[ref.index]
                lane.last = int(lane.total % 1000)
                tokens.append(lane.last)
                feedback = lane.request.feedback
                assert feedback is not None
                if lane.last in feedback.end_tokens:
                    ended[place] = FinishReason.END
                elif feedback.stop is not None and feedback.stop(lane.last):
                    ended[place] = FinishReason.STOP
        return GroupResult((np.array(sums, np.float32),), tokens, ended, seconds=0.001)

    def _advance(self, slot: int, group: GroupPlan | DecodePlan) -> list[float]:
        lane = self.lanes[slot]
        sums: list[float] = []
        for _ in range(group.length):
            if isinstance(group, DecodePlan):
                lane.total += lane.last
            else:
                lane.total += float(lane.request.steps[lane.cursor])
                lane.cursor += 1
            sums.append(lane.total)
        return sums
