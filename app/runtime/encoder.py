"""Runs whole inputs through an encoder."""

from __future__ import annotations

import time

import numpy as np

from app.bundle.manifest import EncoderSpec
from app.core.errors import RunFailed
from app.core.plan import Batch, BatchResult, BlockBatch
from app.core.sequence import SequenceRequest
from app.runtime.runner import RunResult, row_errors
from app.runtime.session import EncoderSession

_MAX_ROWS = 64
_MAX_NUMBERS = 1 << 20
"""Of the inputs in one run: what lies between the layers of an image takes many times its memory."""


class EncoderExecutor:
    """Used by one thread.

    It has no lanes: one core is busy with it at most, so that those who stream beside it keep theirs.
    """

    def __init__(self, session: EncoderSession) -> None:
        self._session = session

    def admit(self, slot: int, request: SequenceRequest) -> None:
        raise AssertionError("an encoder takes blocks. This is a bug.")

    def release(self, slot: int) -> None:
        raise AssertionError("an encoder takes blocks. This is a bug.")

    def run(self, batch: Batch) -> BatchResult:
        """A run that fails is reported in the parts."""
        if not isinstance(batch, BlockBatch):
            raise AssertionError("an encoder takes blocks. This is a bug.")
        started = time.perf_counter()
        requests = [part.request for part in batch.parts]
        inputs = np.concatenate([each.steps for each in requests], dtype=self._session.dtype)
        lengths = None
        if self._session.spec.max_length is None:
            inputs = inputs[:, 0]
        else:
            lengths = np.concatenate([each.lengths for each in requests if each.lengths is not None])
        failed: list[tuple[int, int, RunFailed]] = []
        try:
            rows, attended = self._session.run(inputs, lengths)
        except RunFailed as error:
            rows, attended = self._session.empty(len(inputs), batch.length)
            failed.append((0, len(inputs), error))
        errors = row_errors(RunResult(attended, rows, failed), [rows, *attended])
        first = 0
        for part in batch.parts:
            last = first + len(part.request.steps)
            part.cursor, part.rows = batch.length, rows[first:last]
            part.pieces = [[array[first:last] for array in attended]]
            part.errors.update({row - first: errors[row] for row in errors if first <= row < last})
            first = last
        return BatchResult(seconds=time.perf_counter() - started)


def rows_of_run(spec: EncoderSpec) -> int:
    """The most inputs in one run."""
    return max(1, min(_MAX_ROWS, _MAX_NUMBERS // int(np.prod(spec.input.shape, dtype=np.int64))))
