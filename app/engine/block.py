"""A block on its way: its parts' arrays on the engine's side, futures on the callers'."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RnnserveError
from app.core.plan import BlockOutput
from app.core.sequence import BlockRequest, BlockResult, Usage


class Block:
    """What the parts of one block have brought. A block wider than a run is cut by rows into parts.

    Args:
        futures: of the caller, or of one caller for each row; they belong to the event loop, and only
            :meth:`deliver` and :meth:`given_up` touch them.
        numbers: of the parts' jobs, in the order of their rows.
    """

    __slots__ = ("_error", "_futures", "_open", "_outputs", "_usages", "numbers")

    def __init__(self, futures: Sequence[asyncio.Future[BlockResult]], numbers: range) -> None:
        self._futures = futures
        self._open = len(futures)
        self._outputs: dict[int, BlockOutput] = {}
        self._usages: list[Usage] = []
        self._error: RnnserveError | None = None
        self.numbers = numbers

    def put(self, number: int, output: BlockOutput, usage: Usage) -> bool:
        """Add what a part brought; whether it was the last that was missing."""
        self._outputs[number] = output
        self._usages.append(usage)
        return len(self._outputs) == len(self.numbers)

    def fail(self, error: RnnserveError) -> None:
        """The block as a whole ends with an error."""
        self._error = error

    def given_up(self) -> bool:
        """A caller has given up; whether it was the last one."""
        self._open -= 1
        return self._open == 0

    def deliver(self) -> None:
        """Answer every caller that has not given up."""
        futures = self._futures
        if self._error is not None:
            for future in futures:
                if not future.done():
                    future.set_exception(self._error)
        elif len(futures) == 1:
            if not futures[0].done():
                futures[0].set_result(self._result())
        else:
            for future, result in zip(futures, _by_row(self._result()), strict=True):
                if not future.done():
                    future.set_result(result)

    def _result(self) -> BlockResult:
        if len(self.numbers) == 1:
            (part,) = self._outputs.values()
            return BlockResult(part.outputs, part.rows, part.errors, self._usages[0])
        parts = [self._outputs[number] for number in self.numbers]
        outputs = tuple(
            _joined(list(values)) for values in zip(*(part.outputs for part in parts), strict=True)
        )
        errors: dict[int, RnnserveError] = {}
        first = 0
        for part in parts:
            errors.update({first + index: error for index, error in part.errors.items()})
            first += len(part.rows)
        return BlockResult(outputs, _joined([part.rows for part in parts]), errors, _total(self._usages))


def parts_of(request: BlockRequest, max_rows: int) -> list[BlockRequest]:
    """A block cut by rows, so that no part is wider than a run."""
    num_rows = len(request.steps)
    if num_rows <= max_rows:
        return [request]
    runs = -(-num_rows // max_rows)
    cuts = [num_rows * run // runs for run in range(runs + 1)]
    return [
        BlockRequest(
            request.steps[first:last],
            request.read,
            None if request.starts is None else request.starts[first:last],
            None if request.fresh is None else request.fresh[first:last],
        )
        for first, last in pairwise(cuts)
    ]


def _by_row(result: BlockResult) -> Iterator[BlockResult]:
    """Each row's own result, as if it had been alone but for the time."""
    num_rows = len(result.rows)
    usage = replace(result.usage, supplied=result.usage.supplied // num_rows)
    for row in range(num_rows):
        error = result.errors.get(row)
        yield BlockResult(
            tuple(output[row : row + 1] for output in result.outputs),
            result.rows[row : row + 1],
            {} if error is None else {0: error},
            usage,
        )


def _joined(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _total(usages: list[Usage]) -> Usage:
    """Parts run side by side or one after the other, so the longest wait and all of the work count."""
    return Usage(
        queue_s=min(usage.queue_s for usage in usages),
        compute_s=sum(usage.compute_s for usage in usages),
        supplied=sum(usage.supplied for usage in usages),
        largest_batch=max(usage.largest_batch for usage in usages),
    )
