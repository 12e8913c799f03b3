"""Fakes whose right answer is obvious: a clock that is set by hand, a network that adds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BeamBatch, BlockBatch, BlockPart, DecodeBatch, PrefillBatch
from app.core.sequence import FinishReason, Read, SequenceRequest


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

    Each produced token is the sum modulo 1000, fed back; the first one may be the most likely one of
    ``first_logits``. ``fail_on`` may raise for a batch; ``gate`` holds every run until it is set.

    Attributes:
        lanes: by slot, the sequences that hold one.
        batches: that were run.
    """

    fail_on: Callable[[Batch], None] = lambda batch: None
    gate: threading.Event | None = None
    lanes: dict[int, _Lane] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Start a slot at zero, or at the request's row."""
        assert slot not in self.lanes, "a slot is admitted only after it was released"
        start = 0.0 if request.start is None else float(request.start[0])
        self.lanes[slot] = _Lane(request, total=start)

    def release(self, slot: int) -> None:
        """Forget the slot."""
        del self.lanes[slot]

    def run(self, batch: Batch) -> BatchResult:
        """Add up."""
        self.batches.append(batch)
        if self.gate is not None:
            self.gate.wait(10)
        error: RunFailed | None = None
        try:
            self.fail_on(batch)
        except RunFailed as raised:
            error = raised
        if isinstance(batch, BlockBatch):
            for part in batch.parts:
                _advance_part(part, batch.length, error)
            return BatchResult(seconds=0.001)
        assert not isinstance(batch, BeamBatch), "it has no vocabulary to search in"
        if error is not None:
            return BatchResult(errors=dict.fromkeys(range(batch.rows), error), seconds=0.001)
        sums = [self._advance(slot, batch) for slot in batch.slots]
        sampled = [True] * batch.rows if isinstance(batch, DecodeBatch) else batch.sample
        tokens: list[int] = []
        ended: dict[int, FinishReason] = {}
        for place, (slot, sample) in enumerate(zip(batch.slots, sampled, strict=True)):
            if sample:
                lane = self.lanes[slot]
                logits = lane.request.first_logits if batch.length == 0 else None
                lane.last = int(lane.total % 1000) if logits is None else int(np.argmax(logits))
                tokens.append(lane.last)
                feedback = lane.request.feedback
                assert feedback is not None
                if lane.last in feedback.end_tokens:
                    ended[place] = FinishReason.END
                elif feedback.stop is not None and feedback.stop(lane.last):
                    ended[place] = FinishReason.STOP
        return BatchResult((np.array(sums, np.float32),), tokens, ended, seconds=0.001)

    def _advance(self, slot: int, batch: PrefillBatch | DecodeBatch) -> list[float]:
        lane = self.lanes[slot]
        sums: list[float] = []
        for _ in range(batch.length):
            if isinstance(batch, DecodeBatch):
                lane.total += lane.last
            else:
                lane.total += float(lane.request.steps[lane.cursor])
                lane.cursor += 1
            sums.append(lane.total)
        return sums


def _advance_part(part: BlockPart, length: int, error: RunFailed | None) -> None:
    """All its sums at once when it is over; the batches only say how long it took."""
    request = part.request
    num_rows, num_steps = request.steps.shape
    part.cursor += length
    assert part.cursor <= num_steps, "a part advances by as many steps as it has"
    if error is not None:
        part.errors.update(dict.fromkeys(range(num_rows), error))
    if part.cursor == num_steps:
        starts = np.zeros((num_rows, 1), np.float32) if request.starts is None else request.starts.copy()
        if request.fresh is not None:
            starts[request.fresh] = 0
        sums = starts + np.cumsum(request.steps, axis=1, dtype=np.float32)
        part.pieces = [[{Read.NONE: sums[:, :0], Read.LAST: sums[:, -1:], Read.ALL: sums}[request.read]]]
        part.rows = sums[:, -1:]
