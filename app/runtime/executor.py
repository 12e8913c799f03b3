"""Gather the rows, run the graph, sample, scatter the rows: implements ``app.core.ports.Executor``."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.errors import NotFinite, RunFailed
from app.core.plan import GroupPlan, GroupResult, Plan, PlanResult, SlotResult
from app.core.sequence import Feedback, FinishReason, Read, SequenceRequest, Token
from app.runtime.arena import Arena
from app.runtime.sampling import SamplingBatch, draw
from app.runtime.session import GraphSession

_Drawn = tuple[Token | None, FinishReason | RunFailed | None]


@dataclass(slots=True, eq=False)
class _Lane:
    """What a slot's owner still has to feed."""

    steps: NDArray[np.generic]
    feedback: Feedback | None
    cursor: int = 0
    last_token: int = 0


class GraphExecutor:
    """Executes plans on one session. Used by one thread.

    Args:
        session: the loaded graph.
        start: ``[S]``, the bundle's start row.
        num_slots: rows to hold.
    """

    def __init__(self, session: GraphSession, start: NDArray[np.float32], num_slots: int) -> None:
        self._session = session
        self._arena = Arena(num_slots, start)
        self._lanes: list[_Lane | None] = [None] * num_slots
        self._temperature = np.ones(num_slots, np.float64)
        self._top_k = np.zeros(num_slots, np.int64)
        self._top_p = np.ones(num_slots, np.float64)
        self._seed = np.zeros(num_slots, np.uint64)
        self._position = np.zeros(num_slots, np.uint64)
        self._alternatives = np.full(num_slots, -1, np.int64)

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Place the start row and remember what is to be fed."""
        self._arena.place(slot, request.start)
        self._lanes[slot] = _Lane(request.steps, request.feedback)
        if request.feedback is not None:
            sampling = request.feedback.sampling
            self._temperature[slot] = sampling.temperature
            self._top_k[slot] = sampling.top_k
            self._top_p[slot] = sampling.top_p
            self._seed[slot] = sampling.seed
            self._position[slot] = sampling.first_position
            self._alternatives[slot] = -1 if sampling.alternatives is None else sampling.alternatives

    def row(self, slot: int) -> NDArray[np.float32]:
        """A copy of a slot's row, ``[S]``."""
        return self._arena.export_row(slot)

    def release(self, slot: int) -> None:
        """Forget what a slot held."""
        self._lanes[slot] = None

    def execute(self, plan: Plan) -> PlanResult:
        """Run the groups one after the other; a group that fails leaves its rows as they were."""
        return PlanResult(tuple(self._run(group) for group in plan.groups))

    def _run(self, group: GroupPlan) -> GroupResult:
        started = time.perf_counter()
        slots = np.fromiter((ref.index for ref in group.slots), np.intp, len(group.slots))
        lanes = [self._lane(ref.index) for ref in group.slots]
        steps = self._steps(lanes, group.length)
        head_from = _head_from(group)
        try:
            outputs, rows = self._session.run(steps, self._arena.gather(slots), head_from)
        except RunFailed as error:
            return GroupResult(error=error, seconds=time.perf_counter() - started)
        self._arena.scatter(slots, rows)
        for lane in lanes:
            lane.cursor += group.length
        finite = _finite_rows(rows, outputs)
        tokens = self._sample(group, slots, lanes, outputs[0], finite)
        results = tuple(
            _result(group, index, outputs, tokens.get(index), finite[index]) for index in range(len(lanes))
        )
        return GroupResult(results, seconds=time.perf_counter() - started)

    def _lane(self, slot: int) -> _Lane:
        lane = self._lanes[slot]
        if lane is None:
            raise AssertionError("a planned slot has an owner. This is a bug.")
        return lane

    def _steps(self, lanes: list[_Lane], length: int) -> NDArray[np.generic]:
        shape = (len(lanes), length, *lanes[0].steps.shape[1:])
        steps = np.empty(shape, self._session.dtype)
        for index, lane in enumerate(lanes):
            if lane.cursor < len(lane.steps):
                steps[index] = lane.steps[lane.cursor : lane.cursor + length]
            else:
                steps[index] = lane.last_token
        return steps

    def _sample(
        self,
        group: GroupPlan,
        slots: NDArray[np.intp],
        lanes: list[_Lane],
        logits: NDArray[np.float32],
        finite: NDArray[np.bool_],
    ) -> dict[int, _Drawn]:
        drawn = [index for index, wanted in enumerate(group.sample) if wanted and finite[index]]
        if not drawn:
            return {}
        last = logits[drawn, -1]
        banned = [_banned(lanes[index]) for index in drawn]
        who = slots[drawn]
        batch = SamplingBatch(
            self._temperature[who],
            self._top_k[who],
            self._top_p[who],
            self._seed[who],
            self._position[who],
            self._alternatives[who],
        )
        self._position[who] += np.uint64(1)
        return {
            index: _accept(lanes[index], token)
            for index, token in zip(drawn, draw(last, batch, banned), strict=True)
        }


def _head_from(group: GroupPlan) -> int:
    if any(read is Read.ALL for read in group.read):
        return 0
    if any(group.sample) or any(read is Read.LAST for read in group.read):
        return group.length - 1
    return group.length


def _finite_rows(rows: NDArray[np.float32], outputs: list[NDArray[np.float32]]) -> NDArray[np.bool_]:
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    for output in outputs:
        if output.size:
            finite &= np.isfinite(output).reshape(len(output), -1).all(axis=1)
    return finite


def _banned(lane: _Lane) -> tuple[int, ...]:
    return () if lane.feedback is None else lane.feedback.banned


def _accept(lane: _Lane, token: Token) -> _Drawn:
    """Take a drawn token as the next step, unless it ends the sequence.

    A stop rule that raises fails its own sequence only.
    """
    feedback = lane.feedback
    if feedback is None:
        raise AssertionError("only sequences that feed back are sampled. This is a bug.")
    if token.id in feedback.end_tokens:
        return None, FinishReason.END
    lane.last_token = token.id
    if feedback.stop is None:
        return token, None
    try:
        return token, FinishReason.STOP if feedback.stop(token.id) else None
    except Exception as error:
        return None, RunFailed(f"the stop rule failed: {error!r}")


def _result(
    group: GroupPlan,
    index: int,
    outputs: list[NDArray[np.float32]],
    drawn: _Drawn | None,
    finite: np.bool_,
) -> SlotResult:
    if not finite:
        return SlotResult(error=NotFinite("the model's output is not finite for this input"))
    read = group.read[index]
    values: tuple[NDArray[np.float32], ...] = ()
    if read is not Read.NONE:
        # Copies, so that one reader does not keep the whole batch's output alive.
        values = tuple(
            (output[index] if read is Read.ALL else output[index, -1:]).copy() for output in outputs
        )
    token, finish = drawn or (None, None)
    if isinstance(finish, RunFailed):
        return SlotResult(error=finish)
    return SlotResult(values, token, finish)
