"""Gather the rows, run the graph, sample, scatter the rows: implements ``app.core.ports.Executor``."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from app.core.errors import NotFinite, RunFailed
from app.core.plan import Batch, BatchResult, BlockBatch, DecodeBatch, PrefillBatch
from app.core.sequence import Read, SequenceRequest
from app.runtime import blocks
from app.runtime.drawing import Drawing
from app.runtime.lanes import Lanes
from app.runtime.runner import Runner, RunResult, finite_rows
from app.runtime.session import GraphSession
from app.runtime.slots import Slots

NOT_FINITE = "the model's output is not finite for this input"


class GraphExecutor:
    """Runs batches on one session. Used by one thread.

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
        self._start = np.ascontiguousarray(start, np.float32)
        self._slots = Slots(num_slots, self._start)
        self._groups: dict[int, _DecodeGroup] = {}

    def admit(self, slot: int, request: SequenceRequest) -> None:
        """Prepare a slot for a new sequence."""
        self._slots.admit(slot, request)

    def release(self, slot: int) -> None:
        """Forget what a slot held."""
        self._part(slot)
        self._slots.release(slot)

    def run(self, batch: Batch) -> BatchResult:
        """Advance a batch. A run that fails is reported in the result and leaves its rows as they were."""
        started = time.perf_counter()
        if isinstance(batch, DecodeBatch):
            result = self._decode(batch)
        elif isinstance(batch, BlockBatch):
            result = self._advance_blocks(batch)
        else:
            result = self._prefill(batch)
        result.seconds = time.perf_counter() - started
        return result

    def _advance_blocks(self, batch: BlockBatch) -> BatchResult:
        steps, rows, head_from = blocks.gather(batch, self._start, self._dtype)
        run = self._runner.run(steps, rows, head_from)
        blocks.scatter(batch, run, _errors(run, [run.rows, *run.outputs]))
        return BatchResult()

    def _prefill(self, batch: PrefillBatch) -> BatchResult:
        """Supplied steps, and the first token of those that feed back after them."""
        slots = self._slots
        indices = np.array(batch.slots, np.intp)
        requests = slots.requests_of(indices)
        sampled = [place for place, wanted in enumerate(batch.sample) if wanted]
        outputs: tuple[NDArray[np.float32], ...] = ()
        errors: dict[int, RunFailed] = {}
        if batch.length:
            steps = self._steps(requests, slots.cursor[indices].tolist(), batch.length)
            run = self._runner.run(steps, slots.rows.take(indices, axis=0), _head_from(batch))
            outputs = tuple(run.outputs)
            errors = _errors(run, [run.rows, *outputs])
            self._store(indices, run)
            slots.cursor[indices] += batch.length
        if not sampled:
            return BatchResult(outputs, errors=errors)
        if batch.length:
            logits = outputs[0][sampled, -1]
        else:
            given = [request.first_logits for request in requests]
            logits = np.stack([first for first in given if first is not None])
        # Rows and errors of the batch, by their place among those that draw.
        own = {index: errors[place] for index, place in enumerate(sampled) if place in errors}
        if own:
            logits[list(own)] = 0  # so that drawing has numbers to work on; nobody gets these tokens
        drawing = Drawing(slots, indices[sampled])
        tokens, ended = drawing.draw(logits, own)
        drawing.save()
        errors.update({sampled[index]: error for index, error in own.items()})
        return BatchResult(
            outputs, tokens, {sampled[index]: reason for index, reason in ended.items()}, errors
        )

    def _decode(self, batch: DecodeBatch) -> BatchResult:
        """One step of sequences that feed back."""
        group = self._group(batch)
        run = self._runner.run(group.drawing.last[:, None], group.rows, 0)
        logits = run.outputs[0][:, 0]
        errors = _errors(run, [run.rows, logits])
        if errors:
            logits[list(errors)] = 0  # as in _prefill
        group.rows = run.rows
        tokens, ended = group.drawing.draw(logits, errors)
        return BatchResult((), tokens, ended, errors)

    def _group(self, batch: DecodeBatch) -> _DecodeGroup:
        """The group of a batch. Groups that its members were in before are parted."""
        group = self._groups.get(batch.slots[0])
        if group is None or group.batch is not batch:
            for slot in batch.slots:
                self._part(slot)
            group = _DecodeGroup(batch, self._slots)
            self._groups.update(dict.fromkeys(batch.slots, group))
        return group

    def _part(self, slot: int) -> None:
        """Write back the group that a slot is in, if any; its batch will not come again."""
        group = self._groups.get(slot)
        if group is not None:
            group.save(self._slots)
            for member in group.batch.slots:
                del self._groups[member]

    def _store(self, indices: NDArray[np.intp], run: RunResult) -> None:
        if not run.failed:
            self._slots.rows[indices] = run.rows
            return
        good = np.ones(len(indices), np.bool_)
        for first, last, _ in run.failed:
            good[first:last] = False
        self._slots.rows[indices[good]] = run.rows[good]

    def _steps(self, requests: list[SequenceRequest], cursors: list[int], length: int) -> NDArray[np.generic]:
        """The next supplied steps, ``[rows, length, ...]``."""
        steps = np.empty((len(requests), length, *requests[0].steps.shape[1:]), self._dtype)
        for row, (request, cursor) in enumerate(zip(requests, cursors, strict=True)):
            steps[row] = request.steps[cursor : cursor + length]
        return steps


class _DecodeGroup:
    """The slots of one decode batch, while nobody joins or leaves.

    The rows that a run gives are the rows that the next one takes: nothing is gathered or scattered, and
    the slots' own rows are behind. Before anybody else looks at one of them the group is written back.

    Attributes:
        rows: ``[n, S]``, the present ones.
    """

    __slots__ = ("_indices", "batch", "drawing", "rows")

    def __init__(self, batch: DecodeBatch, slots: Slots) -> None:
        self.batch = batch
        self._indices = np.array(batch.slots, np.intp)
        self.rows: NDArray[np.float32] = slots.rows.take(self._indices, axis=0)
        self.drawing = Drawing(slots, self._indices)

    def save(self, slots: Slots) -> None:
        slots.rows[self._indices] = self.rows
        self.drawing.save()


def _head_from(batch: PrefillBatch) -> int:
    """First of the steps whose output is needed."""
    if Read.ALL in batch.read:
        return 0
    if Read.LAST in batch.read or True in batch.sample:
        return batch.length - 1
    return batch.length


def _errors(run: RunResult, arrays: list[NDArray[np.float32]]) -> dict[int, RunFailed]:
    """Rows that failed: those of a run that did, and those that are not finite."""
    errors: dict[int, RunFailed] = {}
    for first, last, error in run.failed:
        errors.update(dict.fromkeys(range(first, last), error))
    finite = finite_rows(arrays)
    if finite is not None:
        for row in np.flatnonzero(~finite).tolist():
            errors.setdefault(row, NotFinite(NOT_FINITE))
    return errors
