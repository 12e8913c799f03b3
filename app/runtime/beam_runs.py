"""Beam searches as the graph sees them: join their rows, run, go on with the best, reorder the rows."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import AttendedSpec
from app.core.errors import RunFailed
from app.core.plan import BatchResult, BeamBatch, BeamPart
from app.runtime.attended import Attended, gathered
from app.runtime.beams import BeamSearch, advance
from app.runtime.runner import Runner, row_errors
from app.runtime.session import likeliest


class BeamRuns:
    """``start``: the bundle's start row ``[S]``. ``attention``: the index of that output, if there is one."""

    def __init__(
        self,
        runner: Runner,
        start: NDArray[np.float32],
        attended: AttendedSpec | None = None,
        attention: int | None = None,
    ) -> None:
        self._runner = runner
        self._start = start
        self._spec = attended
        self._attention = attention
        # Joined once for a batch, which is the same one until a search comes or goes.
        self._attended: WeakKeyDictionary[BeamBatch, Attended] = WeakKeyDictionary()

    def run(self, batch: BeamBatch) -> BatchResult:
        for part in batch.parts:
            if part.rows is None:
                part.search = BeamSearch(part.request)
                part.rows = self._first_rows(part)
        searches: list[BeamSearch] = [part.search for part in batch.parts]
        rows = np.concatenate([part.rows for part in batch.parts if part.rows is not None])
        attended = self._attended_by(batch)
        errors: dict[int, RunFailed] = {}
        turns, go_on = 0, True
        while go_on:
            turns += 1
            fed = [token for search in searches for token in search.tokens]
            run = self._runner.run(np.array(fed, np.int64)[:, None], rows, 0, attended)
            logits = run.outputs[0][:, 0]
            errors = row_errors(run, [run.rows, logits])
            if errors:
                logits[list(errors)] = 0  # so that a search has numbers to work on; nobody gets what it finds
            if self._attention is not None:
                self._keep_attention(batch, run.outputs[self._attention][:, 0])
            try:
                rows = run.rows.take(advance(searches, logits, likeliest), axis=0)
            except RunFailed as error:
                errors = dict.fromkeys(range(len(rows)), error)
            over = errors or any(search.done for search in searches)
            go_on = turns < batch.most_turns and not over
        first = 0
        for part, search in zip(batch.parts, searches, strict=True):
            last = first + search.width
            part.rows = rows[first:last]
            part.error = next((errors[row] for row in range(first, last) if row in errors), None)
            if search.done:
                part.hypotheses = search.hypotheses()
            first = last
        return BatchResult(turns=turns)

    def _first_rows(self, part: BeamPart) -> NDArray[np.float32]:
        if part.prefix is not None and part.prefix.rows is not None:
            row = part.prefix.rows[0]
        else:
            row = self._start if part.request.start is None else part.request.start
        return np.repeat(row[None], part.request.width, axis=0)

    def _attended_by(self, batch: BeamBatch) -> Attended | None:
        if self._spec is None:
            return None
        found = self._attended.get(batch)
        if found is None:
            arrays: list[NDArray[np.float32] | None] = []
            for part in batch.parts:
                arrays += [part.request.attended] * part.request.width
            found = self._attended[batch] = gathered(arrays, self._spec)
        return found

    def _keep_attention(self, batch: BeamBatch, attention: NDArray[np.float32]) -> None:
        """Of rows ``[rows, L]``, for the searches that report it, as long as what each attends to."""
        first = 0
        for part in batch.parts:
            request = part.request
            last = first + request.width
            if request.attention:
                length = 1 if request.attended is None else len(request.attended)
                part.search.attend(attention[first:last, :length])
            first = last
