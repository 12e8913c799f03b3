"""Gather the rows, run the graph, sample, scatter the rows: implements ``app.core.ports.Executor``."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.errors import NotFinite, RunFailed
from app.core.plan import BlockOutput, BlockPlan, DecodePlan, GroupPlan, GroupResult, Plan, PlanResult
from app.core.sequence import BlockRequest, Feedback, Read, SequenceRequest
from app.runtime.arena import Arena
from app.runtime.blocks import BlockRows
from app.runtime.decoding import DecodeGroups
from app.runtime.feedback import FeedbackTable
from app.runtime.lanes import Lanes
from app.runtime.runner import Runner, RunResult, finite_rows
from app.runtime.session import GraphSession

NOT_FINITE = "the model's output is not finite for this input"


@dataclass(slots=True, eq=False)
class _Supplied:
    """What a slot's owner still has to feed."""

    steps: NDArray[np.generic]
    feedback: Feedback | None
    cursor: int = 0


class GraphExecutor:
    """Executes plans on one session. Used by one thread.

    Args:
        session: the loaded graph.
        start: ``[S]``, the bundle's start row.
        num_slots: rows to hold.
        lanes: threads that may share a run; ``None`` runs on the calling thread alone.
    """

    def __init__(
        self,
        session: GraphSession,
        start: NDArray[np.float32],
        num_slots: int,
        lanes: Lanes | None = None,
    ) -> None:
        self._runner = Runner(session, lanes or Lanes())
        self._dtype = session.dtype
        self._arena = Arena(num_slots, start)
        self._blocks = BlockRows(start, session.dtype)
        self._supplied: list[_Supplied | None] = [None] * num_slots
        self._feedback = FeedbackTable(num_slots)
        self._groups = DecodeGroups(self._arena, self._feedback)

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Place the start row and remember what is to be fed."""
        self._arena.place(slot, request.start)
        self._supplied[slot] = _Supplied(request.steps, request.feedback)
        if request.feedback is not None:
            self._feedback.admit(slot, request.feedback)

    def row(self, slot: int) -> NDArray[np.float32]:
        """A copy of a slot's row, ``[S]``."""
        self._groups.part(slot)
        return self._arena.export_row(slot)

    def release(self, slot: int) -> None:
        """Forget what a slot held."""
        self._groups.part(slot)
        self._supplied[slot] = None
        self._feedback.release(slot)

    def open_block(self, number: int, request: BlockRequest) -> None:
        """Prepare a block."""
        self._blocks.open(number, request)

    def take_block(self, number: int) -> BlockOutput:
        """What a block has brought; it is forgotten."""
        return self._blocks.take(number)

    def drop_block(self, number: int) -> None:
        """Forget a block, which may be unknown."""
        self._blocks.drop(number)

    def execute(self, plan: Plan) -> PlanResult:
        """Run the groups one after the other; a run that fails leaves its rows as they were."""
        return PlanResult(tuple([self._run(group) for group in plan.groups]))

    def _run(self, group: GroupPlan | DecodePlan | BlockPlan) -> GroupResult:
        started = time.perf_counter()
        if isinstance(group, DecodePlan):
            result = self._decode(group)
        elif isinstance(group, GroupPlan):
            result = self._feed(group)
        else:
            result = self._advance_blocks(group)
        result.seconds = time.perf_counter() - started
        return result

    def _decode(self, plan: DecodePlan) -> GroupResult:
        """One step of sequences that feed back."""
        group = self._groups.get(plan)
        run = self._runner.run(group.steps, group.rows, 0)
        logits = run.outputs[0][:, 0]
        errors = _errors(run, [run.rows, logits])
        if errors:
            logits[list(errors)] = 0  # so that drawing has numbers to work on; nobody gets its tokens
        group.rows = run.rows
        tokens, ended = group.draw(logits, errors)
        return GroupResult((), tokens, ended, errors)

    def _feed(self, plan: GroupPlan) -> GroupResult:
        """Supplied steps of sequences, and the first token of those that feed back after them."""
        slots = np.array([ref.index for ref in plan.slots], np.intp)
        supplied = [self._fed(ref.index) for ref in plan.slots]
        steps = self._steps(supplied, plan.length)
        head_from = _head_from(plan)
        run = self._runner.run(steps, self._arena.gather(slots), head_from)
        errors = _errors(run, [run.rows, *run.outputs])
        self._store(slots, run)
        for one in supplied:
            one.cursor += plan.length
        sampled = [place for place, wanted in enumerate(plan.sample) if wanted]
        if not sampled:
            return GroupResult(tuple(run.outputs), errors=errors)
        last = run.outputs[0][sampled, -1]
        if errors:
            last[[index for index, place in enumerate(sampled) if place in errors]] = 0
        tokens, ended = self._feedback.draw_first(slots, sampled, last, errors)
        return GroupResult(tuple(run.outputs), tokens, ended, errors)

    def _advance_blocks(self, plan: BlockPlan) -> GroupResult:
        steps, rows, head_from = self._blocks.gather(plan)
        run = self._runner.run(steps, rows, head_from)
        self._blocks.scatter(plan, run, _errors(run, [run.rows, *run.outputs]))
        return GroupResult()

    def _store(self, slots: NDArray[np.intp], run: RunResult) -> None:
        if not run.failed:
            self._arena.scatter(slots, run.rows)
            return
        good = np.ones(len(slots), np.bool_)
        for first, last, _ in run.failed:
            good[first:last] = False
        self._arena.scatter(slots[good], run.rows[good])

    def _fed(self, slot: int) -> _Supplied:
        supplied = self._supplied[slot]
        if supplied is None:
            raise AssertionError("a planned slot has an owner. This is a bug.")
        return supplied

    def _steps(self, supplied: list[_Supplied], length: int) -> NDArray[np.generic]:
        if len(supplied) == 1:
            one = supplied[0]
            return np.ascontiguousarray(one.steps[None, one.cursor : one.cursor + length], self._dtype)
        steps = np.empty((len(supplied), length, *supplied[0].steps.shape[1:]), self._dtype)
        for index, one in enumerate(supplied):
            steps[index] = one.steps[one.cursor : one.cursor + length]
        return steps


def _head_from(plan: GroupPlan) -> int:
    if Read.ALL in plan.read:
        return 0
    if Read.LAST in plan.read or True in plan.sample:
        return plan.length - 1
    return plan.length


def _errors(run: RunResult, arrays: list[NDArray[np.float32]]) -> dict[int, RunFailed]:
    """Rows that failed: those of a run that did, and those that are not finite."""
    errors: dict[int, RunFailed] = {}
    for first, last, error in run.failed:
        errors.update(dict.fromkeys(range(first, last), error))
    finite = finite_rows(arrays)
    if finite is not None:
        for place in np.flatnonzero(~finite).tolist():
            errors.setdefault(place, NotFinite(NOT_FINITE))
    return errors
