"""Runs batches on one graph; blocks are cut and joined into runs here."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import AttendedSpec
from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BeamBatch, BlockBatch, BlockPart, PrefillBatch
from app.core.sequence import BlockRequest, Read, SequenceRequest
from app.runtime.attended import Attended, fitted, gathered
from app.runtime.beam_runs import BeamRuns
from app.runtime.lanes import Lanes
from app.runtime.runner import Runner, RunResult, row_errors
from app.runtime.sequences import SequenceRuns, Slots
from app.runtime.session import GraphSession


class GraphExecutor:
    """Used by one thread; ``start`` is the bundle's start row ``[S]``."""

    def __init__(
        self, session: GraphSession, start: NDArray[np.float32], num_slots: int, lanes: Lanes | None = None
    ) -> None:
        self._runner = Runner(session, lanes or Lanes())
        self._dtype, self._attended = session.dtype, session.attended
        self._by_position = session.by_position
        self._start = np.ascontiguousarray(start, np.float32)
        self._slots = Slots(num_slots, self._start)
        self._sequences = SequenceRuns(self._runner, session.dtype, self._slots, session.attended)
        self._beams = BeamRuns(
            self._runner, self._start, session.attended, next(iter(session.by_position), None)
        )

    def admit(self, slot: int, request: SequenceRequest) -> None:
        self._slots.admit(slot, request)

    def release(self, slot: int) -> None:
        self._sequences.part(slot)
        self._slots.requests[slot] = None

    def run(self, batch: Batch) -> BatchResult:
        """A run that fails is reported in the result and leaves its rows as they were."""
        started = time.perf_counter()
        if isinstance(batch, BlockBatch):
            result = self._run_blocks(batch)
        elif isinstance(batch, BeamBatch):
            result = self._beams.run(batch)
        elif isinstance(batch, PrefillBatch):
            result = self._sequences.prefill(batch)
        else:
            result = self._sequences.decode(batch)
        result.seconds = time.perf_counter() - started
        return result

    def _run_blocks(self, batch: BlockBatch) -> BatchResult:
        steps, rows, head_from = _gather(batch, self._start, self._dtype)
        attended = None if self._attended is None else _attended(batch, self._attended)
        run = self._runner.run(steps, rows, head_from, attended)
        errors = row_errors(run, [run.rows, *run.outputs])
        _scatter(batch, run, errors)
        if attended is not None and self._by_position:
            self._fit(batch, attended)
        return BatchResult()

    def _fit(self, batch: BlockBatch, attended: Attended) -> None:
        """Give outputs by position the length of the part's own, whatever it ran with."""
        first = 0
        for part in batch.parts:
            last = first + len(part.request.steps)
            length = int(attended.lengths[first:last].max())
            for index in self._by_position if part.pieces else ():
                part.pieces[-1][index] = fitted(part.pieces[-1][index], length)
            first = last


def _gather(
    batch: BlockBatch, start: NDArray[np.float32], dtype: np.dtype[np.generic]
) -> tuple[NDArray[np.generic], NDArray[np.float32], int]:
    """Steps ``[rows, length, ...]``, rows ``[rows, S]`` and ``head_from`` of a run."""
    length = batch.length
    head_from = length
    steps: list[NDArray[np.generic]] = []
    rows: list[NDArray[np.float32]] = []
    for part in batch.parts:
        if part.rows is None:
            part.rows = _first_rows(part.request, start)
        head_from = min(head_from, _head_from(part, length))
        steps.append(part.request.steps[:, part.cursor : part.cursor + length])
        rows.append(part.rows)
    if len(steps) == 1:
        return np.ascontiguousarray(steps[0], dtype), rows[0], head_from
    return np.concatenate(steps, axis=0, dtype=dtype), np.concatenate(rows), head_from


def _attended(batch: BlockBatch, spec: AttendedSpec) -> Attended:
    arrays: list[NDArray[np.float32] | None] = []
    for part in batch.parts:
        arrays += part.request.attended or [None] * len(part.request.steps)
    return gathered(arrays, spec)


def _scatter(batch: BlockBatch, run: RunResult, errors: dict[int, RunFailed]) -> None:
    first = 0
    alone = len(batch.parts) == 1
    for part in batch.parts:
        last = first + len(part.request.steps)
        wanted = batch.length - _head_from(part, batch.length)
        part.cursor += batch.length
        over = part.cursor == part.request.steps.shape[1]
        # Views will do for what goes to the caller at once; what stays must not keep the whole
        # run's arrays alive, since other blocks that shared them may be long gone.
        keep = over or alone
        rows = run.rows[first:last]
        part.rows = rows if keep else rows.copy()
        if wanted or over:
            piece: list[NDArray[np.float32]] = []
            for output in run.outputs:
                read = output[first:last, output.shape[1] - wanted :]
                piece.append(read if keep else read.copy())
            part.pieces.append(piece)
        for row in range(first, last) if errors else ():
            if row in errors:
                part.errors.setdefault(row - first, errors[row])
        first = last


def _head_from(part: BlockPart, length: int) -> int:
    """First of the next ``length`` steps whose output is read."""
    if part.request.read is Read.ALL:
        return 0
    over = part.cursor + length == part.request.steps.shape[1]
    return length - 1 if over and part.request.read is Read.LAST else length


def _first_rows(request: BlockRequest, start: NDArray[np.float32]) -> NDArray[np.float32]:
    if request.starts is None:
        return np.repeat(start[None], len(request.steps), axis=0)
    starts = np.ascontiguousarray(request.starts, np.float32)
    if request.fresh is None or not request.fresh.any():
        return starts
    return np.where(request.fresh[:, None], start, starts)
