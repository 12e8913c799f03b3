"""A batch through the graph, on one lane or on several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from app.core.cost import CostTable, size_class
from app.core.errors import NotFinite, RunFailed
from app.runtime.attended import Attended
from app.runtime.lanes import Lanes
from app.runtime.session import GraphSession

# Shorter runs are not worth waking another thread for, on any machine we know.
_WORTH_CUTTING_S = 150e-6
# One run in so many is done the other way, so that a choice follows the machine's load.
_TRY_EVERY = 64


@dataclass(slots=True, eq=False)
class RunResult:
    """Outputs ``[rows, count, ...]``, rows ``[rows, S]``; of failed pieces first and last row (exclusive)."""

    outputs: list[NDArray[np.float32]]
    rows: NDArray[np.float32]
    failed: list[tuple[int, int, RunFailed]] = field(default_factory=list)


class Runner:
    def __init__(self, session: GraphSession, lanes: Lanes) -> None:
        self._session = session
        self._lanes = lanes
        self._alone = lanes.num_lanes == 1 or session.device != "cpu"
        self._choice = LaneChoice(lanes.num_lanes)

    def run(
        self,
        steps: NDArray[np.generic],
        state: NDArray[np.float32],
        head_from: int,
        attended: Attended | None = None,
    ) -> RunResult:
        """Advance a batch; see :meth:`GraphSession.run`. A run that fails is reported, not raised."""
        size, length = steps.shape[:2]
        pieces = 1 if self._alone or size == 1 else self._choice.pieces(size, length)
        started = perf_counter()
        if pieces > 1:
            result = self._cut(steps, state, head_from, attended, pieces)
        else:
            try:
                result = RunResult(*self._session.run(steps, state, head_from, attended))
            except RunFailed as error:
                outputs = self._session.empty_outputs(size, length - head_from, attended)
                result = RunResult(outputs, state, [(0, size, error)])
        if not self._alone and size > 1:
            self._choice.observe(size, length, pieces, perf_counter() - started)
        return result

    def _cut(
        self,
        steps: NDArray[np.generic],
        state: NDArray[np.float32],
        head_from: int,
        attended: Attended | None,
        pieces: int,
    ) -> RunResult:
        size = len(steps)
        outputs = self._session.empty_outputs(size, steps.shape[1] - head_from, attended)
        rows = np.empty_like(state)
        failed: list[tuple[int, int, RunFailed]] = []

        def run_piece(first: int, last: int) -> None:
            beside = None if attended is None else attended.rows(first, last)
            try:
                values, next_rows = self._session.run(steps[first:last], state[first:last], head_from, beside)
            except RunFailed as error:
                failed.append((first, last, error))
                return
            for output, value in zip(outputs, values, strict=True):
                output[first:last] = value
            rows[first:last] = next_rows

        cuts = pairwise(size * index // pieces for index in range(pieces + 1))
        self._lanes.run([partial(run_piece, first, last) for first, last in cuts])
        return RunResult(outputs, rows, failed)


class LaneChoice:
    """Learned from how long runs of a size took whole and cut; the other way is tried now and then."""

    def __init__(self, num_lanes: int) -> None:
        self._num_lanes = num_lanes
        self._whole = CostTable()
        self._cut = CostTable()
        self._runs: Counter[tuple[int, int]] = Counter()

    def pieces(self, rows: int, steps: int) -> int:
        whole = self._whole.measured(rows, steps)
        if whole is None or whole < _WORTH_CUTTING_S:
            return 1
        size = size_class(rows, steps)
        self._runs[size] += 1
        cut = self._cut.measured(rows, steps)
        cuts = cut is None or cut < whole
        if self._runs[size] % _TRY_EVERY == 0:
            cuts = not cuts
        return min(self._num_lanes, rows) if cuts else 1

    def observe(self, rows: int, steps: int, pieces: int, seconds: float) -> None:
        (self._whole if pieces == 1 else self._cut).observe(rows, steps, seconds)


def row_errors(run: RunResult, arrays: list[NDArray[np.float32]]) -> dict[int, RunFailed]:
    """Rows that failed: those of a run that did, and those that are not finite."""
    errors: dict[int, RunFailed] = {}
    for first, last, error in run.failed:
        errors.update(dict.fromkeys(range(first, last), error))
    finite = finite_rows(arrays)
    if finite is not None:
        for row in np.flatnonzero(~finite).tolist():
            errors.setdefault(row, NotFinite("the model's output is not finite for this input"))
    return errors


def finite_rows(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_] | None:
    """Which rows are finite in all arrays ``[rows, ...]``; ``None`` when all are."""
    for array in arrays:
        if not np.isfinite(array).all():
            break
    else:
        return None
    finite = np.ones(len(arrays[0]), np.bool_)
    for array in arrays:
        finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return None if finite.all() else finite
