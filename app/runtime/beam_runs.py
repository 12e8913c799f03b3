"""Beam searches as the graph sees them: join their rows, run, go on with the best, reorder the rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.core.plan import BatchResult, BeamBatch, BeamPart
from app.runtime.beams import BeamSearch, advance
from app.runtime.runner import Runner, row_errors


class BeamRuns:
    """``start`` is the bundle's start row ``[S]``."""

    def __init__(self, runner: Runner, start: NDArray[np.float32]) -> None:
        self._runner = runner
        self._start = start

    def run(self, batch: BeamBatch) -> BatchResult:
        searches: list[BeamSearch] = []
        rows: list[NDArray[np.float32]] = []
        for part in batch.parts:
            if part.rows is None:
                part.search = BeamSearch(part.request)
                part.rows = self._first_rows(part)
            searches.append(part.search)
            rows.append(part.rows)
        steps = np.concatenate([search.tokens for search in searches])
        run = self._runner.run(steps[:, None], np.concatenate(rows), 0)
        logits = run.outputs[0][:, 0]
        errors = row_errors(run, [run.rows, logits])
        if errors:
            logits[list(errors)] = 0  # so that a search has numbers to work on; nobody gets what it finds
        parents = advance(searches, logits)
        after = run.rows.take(parents, axis=0)
        first = 0
        for part, search in zip(batch.parts, searches, strict=True):
            last = first + search.width
            part.rows = after[first:last]
            if errors:
                part.error = next((errors[row] for row in range(first, last) if row in errors), None)
            if search.done:
                part.hypotheses = search.hypotheses()
            first = last
        return BatchResult()

    def _first_rows(self, part: BeamPart) -> NDArray[np.float32]:
        if part.prefix is not None and part.prefix.rows is not None:
            row = part.prefix.rows[0]
        else:
            row = self._start if part.request.start is None else part.request.start
        return np.repeat(row[None], part.request.width, axis=0)
