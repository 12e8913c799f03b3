"""Calls on one session that are coalesced: they run as one sequence, and one write stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from app.service.deployment import Deployment
from app.service.run import Run
from app.sessions.record import LastCall, SessionRecord
from app.sessions.steps.calls import PendingCall, SessionQueue
from app.tasks.task import AppliedInputs, Context, EncodedInputs


@dataclass(frozen=True, slots=True, eq=False)
class RunCall:
    """A call that has passed its checks.

    Attributes:
        seq: number of the first step it writes.
        start: its first step in the sequence.
    """

    pending: PendingCall
    seq: int
    encoded: EncodedInputs
    start: int


@dataclass(slots=True, eq=False)
class SessionRun:
    """What a batch does with one session.

    Attributes:
        queue: where the calls come from.
        record: what they begin from.
        cached: whether the record may be out of date, which the write will tell.
        step, context: behind the calls so far.
        length: of the sequence so far.
    """

    queue: SessionQueue
    record: SessionRecord
    deployment: Deployment
    cached: bool
    step: int
    context: Context
    calls: list[RunCall] = field(default_factory=list)
    length: int = 0

    def add(self, pending: PendingCall, encoded: EncodedInputs) -> None:
        """The call at the head of the queue runs behind the others."""
        self.calls.append(RunCall(pending, self.step + 1, encoded, self.length))
        self.step += len(encoded.reported)
        self.length += len(encoded.steps)
        self.context = encoded.context
        self.queue.running.append(self.queue.waiting.popleft())

    def sequence(self) -> Run:
        """The steps of all calls."""
        steps = self.calls[0].encoded.steps
        if len(self.calls) > 1:
            steps = np.concatenate([call.encoded.steps for call in self.calls])
        return Run(self.deployment, self.record.row if self.record.row.size else None, steps)

    def stored(self, run: Run, answer: bytes, now: float) -> SessionRecord:
        """The record behind the last call, which got this answer."""
        row, outputs = run.result()
        last = self.calls[-1]
        call = LastCall(last.seq, last.pending.digest, answer)
        # A view would keep the outputs of the whole block alive.
        return self.record.stepped(now, self.step, row, outputs[-1].copy(), self.context, call)


def answers(runs: Sequence[tuple[SessionRun, Run]]) -> list[list[bytes]]:
    """The JSON bytes of the answer to each call; the calls of a model are described together."""
    by_model: dict[str, list[AppliedInputs]] = {}
    describers: dict[str, Any] = {}
    for session, run in runs:
        outputs = run.result()[1]
        applied = by_model.setdefault(session.record.model, [])
        describers[session.record.model] = session.deployment.model.session
        for call in session.calls:
            before = outputs[call.start - 1] if call.start else session.record.last
            steps = outputs[call.start : call.start + len(call.encoded.steps)]
            applied.append(AppliedInputs(call.encoded, before, steps))
    described = {model: iter(describers[model].describe(applied)) for model, applied in by_model.items()}
    answered: list[list[bytes]] = []
    for session, _ in runs:
        of_model = described[session.record.model]
        answered.append(
            [
                orjson.dumps(
                    {
                        "seq": call.seq,
                        "step": call.seq - 1 + len(call.encoded.reported),
                        "outputs": next(of_model),
                    }
                )
                for call in session.calls
            ]
        )
    return answered
