"""Calls on sessions on their way through the engines: coalesced to one run a session, and runs to one block a
model and length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from app.core.errors import RnnserveError
from app.core.sequence import BlockRequest, BlockResult, Encoded, Read, Usage
from app.service.catalog import Deployment
from app.sessions.record import NO_ROW, SessionRecord
from app.sessions.steps.calls import PendingCall, SessionQueue
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output

_NOTHING = Usage()


@dataclass(slots=True, eq=False)
class Run:
    """One sequence without feedback: what goes in, and what came out.

    Attributes:
        start: ``[S]`` row to start from; ``None`` takes the model's start row.
        attended: ``[L, C]``, what its steps attend to, if anything.
        steps: ``[time, ...]`` in the graph's input type.
        row: ``[S]`` after the last step.
        outputs: ``[time, ...]`` of the first output.
    """

    deployment: Deployment
    start: NDArray[np.float32] | None
    steps: NDArray[np.generic]
    row: NDArray[np.float32] | None = None
    outputs: NDArray[np.float32] | None = None
    usage: Usage = _NOTHING
    error: RnnserveError | None = None
    attended: NDArray[np.float32] | None = None

    def attend(self, encoded: Encoded) -> None:
        """Attend to what an encoder made, and begin with its row where there is none yet."""
        self.attended = encoded.attended
        if self.start is None:
            self.start = encoded.row

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Row and outputs; raises why the run failed."""
        if self.error is not None:
            raise self.error
        if self.row is None or self.outputs is None:
            raise AssertionError("a run is read after it has ended. This is a bug.")
        return self.row, self.outputs


@dataclass(frozen=True, slots=True, eq=False)
class RunCall:
    """A call that has passed its checks: the number of its first step, and where that is in the sequence."""

    pending: PendingCall
    seq: int
    encoded: EncodedInputs
    start: int


@dataclass(slots=True, eq=False)
class SessionRun:
    """What a batch does with one session.

    Attributes:
        cached: whether the record may be out of date, which the write will tell.
        step, context, memory: behind the calls so far; of what is said, once it has been.
        length: of the sequence so far.
        numbered: whether each call says which step it is.
    """

    queue: SessionQueue
    record: SessionRecord
    deployment: Deployment
    cached: bool
    step: int
    context: Context
    memory: Context
    calls: list[RunCall] = field(default_factory=list)
    length: int = 0
    numbered: bool = True

    def add(self, pending: PendingCall, encoded: EncodedInputs) -> None:
        self.calls.append(RunCall(pending, self.step + 1, encoded, self.length))
        self.step += len(encoded.reported)
        self.length += len(encoded.steps)
        self.numbered = self.numbered and pending.call.seq is not None
        self.context = encoded.context
        self.queue.running.append(self.queue.waiting.popleft())

    def sequence(self) -> Run:
        steps = self.calls[0].encoded.steps
        if len(self.calls) > 1:
            steps = np.concatenate([call.encoded.steps for call in self.calls])
        run = Run(self.deployment, self.record.row if self.record.row.size else None, steps)
        if self.queue.lease is not None:
            run.attend(self.queue.lease.encoded[0])
        return run


async def run_all(runs: Sequence[Run], deadline: float) -> None:
    """Run sequences of any models and lengths; what became of each is put into it."""
    groups: dict[tuple[Deployment, int], list[Run]] = {}
    for run in runs:
        if not len(run.steps):
            # Inputs may be less than a step; the state stays as it is.
            run.row = NO_ROW if run.start is None else run.start
            run.outputs = np.zeros(0, np.float32)
            continue
        groups.setdefault((run.deployment, len(run.steps)), []).append(run)
    submitted: list[tuple[asyncio.Future[BlockResult], list[Run]]] = []
    try:
        for (deployment, _), members in groups.items():
            try:
                submitted.append((deployment.engine.submit_block(_block(members), deadline), members))
            except RnnserveError as error:
                _fail(members, error)
        for future, members in submitted:
            try:
                _deal(await future, members)
            except RnnserveError as error:
                _fail(members, error)
    finally:
        for future, _ in submitted:
            future.cancel()


def answers(runs: Sequence[tuple[SessionRun, Run]]) -> list[list[bytes]]:
    """The JSON bytes of the answer to each call; the calls of a model are described together."""
    applied: dict[Deployment, list[AppliedInputs]] = {}
    for session, run in runs:
        outputs = run.result()[1]
        for call in session.calls:
            before = outputs[call.start - 1] if call.start else session.record.last
            steps = outputs[call.start : call.start + len(call.encoded.steps)]
            said = AppliedInputs(call.encoded, before, steps, session.memory)
            applied.setdefault(session.deployment, []).append(said)
    described: dict[Deployment, Iterator[list[Output]]] = {}
    for deployment, inputs in applied.items():
        described[deployment] = iter(deployment.model.session.describe(inputs))
    answered: list[list[bytes]] = []
    for session, _ in runs:
        answered.append([])
        for call in session.calls:
            step, told = call.seq - 1 + len(call.encoded.reported), next(described[session.deployment])
            answered[-1].append(orjson.dumps({"seq": call.seq, "step": step, "outputs": told}))
    return answered


def _block(members: Sequence[Run]) -> BlockRequest:
    arrays, given = [], []
    attended: list[NDArray[np.float32] | None] | None = None
    for place, run in enumerate(members):
        arrays.append(run.steps)
        if run.attended is not None:
            attended = attended or [None] * len(members)
            attended[place] = run.attended
        if run.start is not None:
            given.append(run.start)
    steps = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)  # no copy of one alone
    if len(given) == len(members):
        return BlockRequest(steps, Read.ALL, np.stack(given), attended=attended)
    if not given:
        return BlockRequest(steps, Read.ALL, attended=attended)
    fresh = np.array([run.start is None for run in members])
    starts = np.zeros((len(members), len(given[0])), np.float32)
    starts[~fresh] = given
    return BlockRequest(steps, Read.ALL, starts, fresh, attended)


def _deal(result: BlockResult, members: Sequence[Run]) -> None:
    outputs = result.outputs[0]
    for index, run in enumerate(members):
        run.error, run.usage = result.errors.get(index), result.usage
        if run.error is None:
            # A view would keep the rows of the whole block alive.
            run.row, run.outputs = result.rows[index].copy(), outputs[index]


def _fail(members: Sequence[Run], error: RnnserveError) -> None:
    for run in members:
        run.error = error
