"""Sequences on their way through the engines, in blocks of equal length.

runs --by model and length--> blocks --engines, side by side--> rows and outputs of each run
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RnnserveError
from app.core.sequence import BlockRequest, BlockResult, Read, Usage
from app.service.deployment import Deployment

_NOTHING = Usage()


@dataclass(slots=True, eq=False)
class Run:
    """One sequence without feedback: what goes in, and what came out.

    Attributes:
        start: ``[S]`` row to start from; ``None`` takes the model's start row.
        steps: ``[time, ...]`` in the graph's input type.
        row: ``[S]`` after the last step, to be kept.
        outputs: ``[time, ...]`` of the first output.
        usage: what the block cost that it ran in.
        error: set instead of ``row`` and ``outputs`` when it failed.
    """

    deployment: Deployment
    start: NDArray[np.float32] | None
    steps: NDArray[np.generic]
    row: NDArray[np.float32] | None = None
    outputs: NDArray[np.float32] | None = None
    usage: Usage = _NOTHING
    error: RnnserveError | None = None

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Row and outputs.

        Raises:
            RnnserveError: the run failed.
        """
        if self.error is not None:
            raise self.error
        if self.row is None or self.outputs is None:
            raise AssertionError("a run is read after it has ended. This is a bug.")
        return self.row, self.outputs


async def run_all(runs: Sequence[Run], deadline: float) -> None:
    """Run sequences to their ends; what became of each is put into it.

    Args:
        runs: of any models and lengths.
        deadline: of all, on the engines' clock.
    """
    groups: dict[tuple[str, int], list[Run]] = {}
    for one in runs:
        groups.setdefault((one.deployment.manifest.reference, len(one.steps)), []).append(one)
    submitted: list[tuple[asyncio.Future[BlockResult], list[Run]]] = []
    try:
        for members in groups.values():
            try:
                submitted.append(
                    (members[0].deployment.engine.submit_block(_block(members), deadline), members)
                )
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


def _block(members: Sequence[Run]) -> BlockRequest:
    steps = _stacked([one.steps for one in members])
    given = [one.start for one in members if one.start is not None]
    if len(given) == len(members):
        return BlockRequest(steps, Read.ALL, np.stack(given))
    if not given:
        return BlockRequest(steps, Read.ALL)
    fresh = np.array([one.start is None for one in members])
    starts = np.zeros((len(members), len(given[0])), np.float32)
    starts[~fresh] = given
    return BlockRequest(steps, Read.ALL, starts, fresh)


def _deal(result: BlockResult, members: Sequence[Run]) -> None:
    outputs = result.outputs[0]
    for index, one in enumerate(members):
        one.error, one.usage = result.errors.get(index), result.usage
        if one.error is None:
            # A view would keep the rows of the whole block alive.
            one.row, one.outputs = result.rows[index].copy(), outputs[index]


def _fail(members: Sequence[Run], error: RnnserveError) -> None:
    for one in members:
        one.error = error


def _stacked(arrays: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    """As ``np.stack``, without a copy of one alone."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
