"""Blocks that are being worked on: the caller's arrays, cut and joined into runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.plan import BlockOutput, BlockPlan
from app.core.sequence import BlockRequest, Read
from app.runtime.runner import RunResult


@dataclass(slots=True, eq=False)
class _Block:
    """How far a block has come.

    Attributes:
        rows: ``[N, S]``: the caller's until the first run, then those of the last run.
        pieces: per run, its outputs.
    """

    request: BlockRequest
    rows: NDArray[np.float32]
    cursor: int = 0
    pieces: list[list[NDArray[np.float32]]] = field(default_factory=list)
    errors: dict[int, RunFailed] = field(default_factory=dict)


class BlockRows:
    """The opened blocks by number.

    Args:
        start: ``[S]``, what a fresh sequence begins with.
        dtype: of steps.
    """

    def __init__(self, start: NDArray[np.float32], dtype: np.dtype[np.generic]) -> None:
        self._start = np.ascontiguousarray(start, np.float32)
        self._dtype = dtype
        self._blocks: dict[int, _Block] = {}

    def open(self, number: int, request: BlockRequest) -> None:
        """Take a block up."""
        self._blocks[number] = _Block(request, self._first_rows(request))

    def take(self, number: int) -> BlockOutput:
        """All that a block has brought; it is forgotten."""
        block = self._blocks.pop(number)
        outputs = tuple(
            parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            for parts in (list(parts) for parts in zip(*block.pieces, strict=True))
        )
        return BlockOutput(outputs, block.rows, block.errors)

    def drop(self, number: int) -> None:
        """Forget a block, which may be unknown."""
        self._blocks.pop(number, None)

    def gather(self, plan: BlockPlan) -> tuple[NDArray[np.generic], NDArray[np.float32], int]:
        """Steps ``[rows, length, ...]``, rows ``[rows, S]`` and ``head_from`` of a run."""
        blocks = [self._blocks[number] for number in plan.numbers]
        head_from = min(self._head_from(block, plan.length) for block in blocks)
        steps = [block.request.steps[:, block.cursor : block.cursor + plan.length] for block in blocks]
        if len(blocks) == 1:
            return np.ascontiguousarray(steps[0], self._dtype), blocks[0].rows, head_from
        return (
            np.concatenate(steps, axis=0, dtype=self._dtype),
            np.concatenate([block.rows for block in blocks]),
            head_from,
        )

    def scatter(self, plan: BlockPlan, run: RunResult, errors: dict[int, RunFailed]) -> None:
        """Hand a run's outcome to its blocks."""
        first = 0
        for number in plan.numbers:
            block = self._blocks[number]
            last = first + len(block.rows)
            wanted = plan.length - self._head_from(block, plan.length)
            block.cursor += plan.length
            alone = len(plan.numbers) == 1
            over = block.cursor == block.request.steps.shape[1]
            # Views will do for what goes to the caller at once; what stays must not keep the whole
            # run's arrays alive, since other blocks that shared them may be long gone.
            rows = run.rows[first:last]
            block.rows = rows if over or alone else rows.copy()
            outputs = [output[first:last, output.shape[1] - wanted :] for output in run.outputs]
            if wanted or over:
                block.pieces.append(outputs if over or alone else [output.copy() for output in outputs])
            for place in range(first, last) if errors else ():
                if place in errors:
                    block.errors.setdefault(place - first, errors[place])
            first = last

    def _head_from(self, block: _Block, length: int) -> int:
        if block.request.read is Read.ALL:
            return 0
        over = block.cursor + length == block.request.steps.shape[1]
        return length - 1 if over and block.request.read is Read.LAST else length

    def _first_rows(self, request: BlockRequest) -> NDArray[np.float32]:
        if request.starts is None:
            if len(request.steps) == 1:
                return self._start[None]
            return np.repeat(self._start[None], len(request.steps), axis=0)
        starts = np.ascontiguousarray(request.starts, np.float32)
        if request.fresh is None or not request.fresh.any():
            return starts
        return np.where(request.fresh[:, None], self._start, starts)
