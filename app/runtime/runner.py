"""A batch through the graph, on one lane or on several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import isfinite
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.runtime.lanes import Lanes
from app.runtime.session import GraphSession

# Shorter runs are not worth waking another thread for, on any machine we know.
_WORTH_CUTTING_S = 150e-6
# One run in so many is done the other way, so that a choice follows the machine's load.
_TRY_EVERY = 64
_WEIGHT = 0.1


@dataclass(slots=True, eq=False)
class RunResult:
    """What a run brought.

    Attributes:
        outputs: in manifest order, each ``[rows, count, ...]``.
        rows: ``[rows, S]``.
        failed: first and last row (exclusive) of each piece that failed, with its error. What the
            arrays hold there means nothing.
    """

    outputs: list[NDArray[np.float32]]
    rows: NDArray[np.float32]
    failed: list[tuple[int, int, RunFailed]] = field(default_factory=list)


class Runner:
    """Runs batches on one session, cut over the lanes where that is faster.

    Args:
        session: the loaded graph; several threads may run it at once.
        lanes: of the process.
    """

    def __init__(self, session: GraphSession, lanes: Lanes) -> None:
        self._session = session
        self._lanes = lanes
        self._alone = lanes.num_lanes == 1 or session.device != "cpu"
        self._choice = LaneChoice(lanes.num_lanes)

    def run(self, steps: NDArray[np.generic], state: NDArray[np.float32], head_from: int) -> RunResult:
        """Advance a batch; see :meth:`GraphSession.run`. A run that fails is reported, not raised."""
        if self._alone:
            return self._whole(steps, state, head_from)
        size, length = steps.shape[:2]
        pieces = self._choice.pieces(size, length)
        started = perf_counter()
        result = (
            self._whole(steps, state, head_from)
            if pieces == 1
            else self._cut(steps, state, head_from, pieces)
        )
        self._choice.observe(size, length, pieces, perf_counter() - started)
        return result

    def _whole(self, steps: NDArray[np.generic], state: NDArray[np.float32], head_from: int) -> RunResult:
        try:
            outputs, rows = self._session.run(steps, state, head_from)
        except RunFailed as error:
            count = steps.shape[1] - head_from
            return RunResult(self._session.empty_outputs(len(steps), count), state, [(0, len(steps), error)])
        return RunResult(outputs, rows)

    def _cut(
        self, steps: NDArray[np.generic], state: NDArray[np.float32], head_from: int, pieces: int
    ) -> RunResult:
        size = len(steps)
        outputs = self._session.empty_outputs(size, steps.shape[1] - head_from)
        rows = np.empty_like(state)
        failed: list[tuple[int, int, RunFailed]] = []

        def piece(first: int, last: int) -> None:
            try:
                own, own_rows = self._session.run(steps[first:last], state[first:last], head_from)
            except RunFailed as error:
                failed.append((first, last, error))
                return
            for output, part in zip(outputs, own, strict=True):
                output[first:last] = part
            rows[first:last] = own_rows

        cuts = pairwise(size * index // pieces for index in range(pieces + 1))
        self._lanes.run([partial(piece, first, last) for first, last in cuts])
        return RunResult(outputs, rows, failed)


class LaneChoice:
    """Whether to cut a run, learned from how long runs of its size took whole and cut.

    Other work on the machine decides as much as the network does, and it comes and goes: so the way
    that is not chosen is tried now and then.

    Args:
        num_lanes: the most pieces.
    """

    def __init__(self, num_lanes: int) -> None:
        self._num = num_lanes
        self._seconds: dict[tuple[int, int], dict[int, float]] = {}
        self._runs: dict[tuple[int, int], int] = {}

    def pieces(self, rows: int, steps: int) -> int:
        """Into how many pieces a run is cut: one, or as many as there are lanes."""
        if rows < 2:
            return 1
        size = _size(rows, steps)
        known = self._seconds.get(size)
        if known is None:
            return 1
        whole = known.get(1)
        if whole is None or whole * rows * steps < _WORTH_CUTTING_S:
            return 1
        most = min(self._num, rows)
        runs = self._runs[size] = self._runs.get(size, 0) + 1
        cut = known.get(most)
        faster = most if cut is None or cut < whole else 1
        if runs % _TRY_EVERY == 0:
            return 1 if faster == most else most
        return faster

    def observe(self, rows: int, steps: int, pieces: int, seconds: float) -> None:
        """A run of that size took so long."""
        known = self._seconds.setdefault(_size(rows, steps), {})
        each = seconds / (rows * steps)
        before = known.get(pieces)
        known[pieces] = each if before is None else before + _WEIGHT * (min(each, 4 * before) - before)


def _size(rows: int, steps: int) -> tuple[int, int]:
    return rows.bit_length(), steps.bit_length()


def finite_rows(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_] | None:
    """Which rows are finite in all arrays ``[rows, ...]``; ``None`` when all are."""
    # One pass over each: a sum is finite only if all of its terms are. It may also overflow, so it can
    # only clear them.
    with np.errstate(over="ignore", invalid="ignore"):
        if all(isfinite(np.add.reduce(array, axis=None)) for array in arrays):
            return None
    finite = np.ones(len(arrays[0]), np.bool_)
    for array in arrays:
        finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return None if finite.all() else finite
