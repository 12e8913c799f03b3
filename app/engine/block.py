"""Blocks: their parts in the schedule on one side, the futures of their callers on the other.

Single sequences of one pass of the event loop share a block, which costs the engine as much for one row as
for twelve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RnnserveError
from app.core.plan import BatchResult, BlockBatch, BlockPart
from app.core.sequence import BlockRequest, BlockResult, FinishReason, Read, Usage
from app.engine.job import End, Job, Outcome, settle

MAX_SHARED = 12
"""Single sequences in one block: little less than fills a run (``scheduler``), so that no tick cuts it."""

# Sequences that share a block share a deadline, the earliest; those of one pass differ by less than this.
_DEADLINES_S = 0.1


class Block:
    """Only the event loop touches the futures; the engine's turns report what the parts brought."""

    held = False

    def __init__(self, request: BlockRequest, deadline: float) -> None:
        self.length: int = request.steps.shape[1]
        self.read: Read = request.read
        self.deadline = deadline
        self.futures: list[asyncio.Future[BlockResult]] = []
        self.jobs: list[BlockJob] = []
        self._requests: list[BlockRequest] = []
        self.missing = 0
        self._waiting = 0
        self.error: RnnserveError | None = None

    def add(self, request: BlockRequest, future: asyncio.Future[BlockResult], deadline: float) -> None:
        self._requests.append(request)
        self.futures.append(future)
        self.deadline = min(self.deadline, deadline)

    def accepts(self, deadline: float) -> bool:
        """Whether a single sequence with that deadline may share it, while there is room."""
        return abs(self.deadline - deadline) <= _DEADLINES_S

    def cut(self, max_rows: int, number: int, now: float) -> list[BlockJob]:
        """Its jobs, numbered from there on: rows of callers that still wait, in parts no wider than a run."""
        for place in reversed(range(len(self.futures))):
            if self.futures[place].done():
                del self.futures[place], self._requests[place]
        if not self.futures:
            return []
        self._waiting = len(self.futures)
        request = self._requests[0]
        if len(self._requests) > 1:
            request = BlockRequest(np.concatenate([each.steps for each in self._requests]), self.read)
        for part in [request] if len(request.steps) <= max_rows else _parts(request, max_rows):
            self.jobs.append(BlockJob(number + len(self.jobs), self, part, now))
        self.missing = len(self.jobs)
        return self.jobs

    def given_up(self) -> bool:
        """A caller has given up; whether it was the last one."""
        self._waiting -= 1
        return self._waiting == 0

    def deliver(self) -> None:
        futures = self.futures
        # The parts know the block: together they would wait for the garbage collector.
        jobs, self.jobs = self.jobs, []
        if self.error is not None:
            for future in futures:
                settle(future, self.error)
            return
        result = jobs[0].result() if len(jobs) == 1 else _joined(jobs)
        for future, answer in zip(futures, [result] if len(futures) == 1 else _by_row(result), strict=True):
            if not future.done():
                future.set_result(answer)


class BlockJob(Job):
    __slots__ = ("_usage", "block", "part")

    def __init__(self, number: int, block: Block, request: BlockRequest, now: float) -> None:
        super().__init__(number, block.deadline, now, block.length, block.read, len(request.steps))
        self.block = block
        self.part = BlockPart(request)
        self.row_failures = self.part.errors
        self._usage: Usage | None = None

    @property
    def mates(self) -> Sequence[Job]:
        return self.block.jobs

    def plan(self, jobs: Sequence[Self], length: int) -> PlannedBlocks:
        parts: list[BlockPart] = []
        rows = 0
        for job in jobs:
            parts.append(job.part)
            rows += job.width
        return PlannedBlocks(jobs, BlockBatch(tuple(parts), length, rows))

    def end(self, end: End, now: float) -> Block | None:
        if isinstance(end, RnnserveError):
            self.block.error = end
            return self.block
        self._usage = self.usage(now)
        self.block.missing -= 1
        return None if self.block.missing else self.block

    def result(self) -> BlockResult:
        part = self.part
        if part.rows is None or self._usage is None:
            raise AssertionError("a part is read after it has ended. This is a bug.")
        outputs: list[NDArray[np.float32]] = []
        for pieces in zip(*part.pieces, strict=True):
            outputs.append(pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1))
        return BlockResult(tuple(outputs), part.rows, part.errors, self._usage)


@dataclass(slots=True, eq=False)
class PlannedBlocks:
    jobs: Sequence[BlockJob]
    batch: BlockBatch

    def book(self, result: BatchResult, outcome: Outcome) -> None:
        for job in self.jobs:
            if job.gone:
                continue
            job.advance(self.batch.length, self.batch.rows, result.seconds)
            outcome.steps += self.batch.length * job.width
            if job.supplied == 0:
                # Rows fail each for itself, and the block says so when it ends.
                outcome.ends.append((job, FinishReason.SUPPLIED))


def _parts(request: BlockRequest, max_rows: int) -> list[BlockRequest]:
    """A block cut by rows, so that no part is wider than a run."""
    num_rows = len(request.steps)
    runs = -(-num_rows // max_rows)
    cuts = [num_rows * run // runs for run in range(runs + 1)]
    return [
        BlockRequest(
            request.steps[first:last],
            request.read,
            None if request.starts is None else request.starts[first:last],
            None if request.fresh is None else request.fresh[first:last],
            None if request.attended is None else request.attended[first:last],
            None if request.lengths is None else request.lengths[first:last],
        )
        for first, last in pairwise(cuts)
    ]


def _joined(jobs: Sequence[BlockJob]) -> BlockResult:
    results = [job.result() for job in jobs]
    outputs = tuple(map(np.concatenate, zip(*(result.outputs for result in results), strict=True)))
    errors: dict[int, RnnserveError] = {}
    first = 0
    for result in results:
        errors.update({first + row: error for row, error in result.errors.items()})
        first += len(result.rows)
    usages = [result.usage for result in results]
    # Parts run side by side or one after the other, so the longest wait and all of the work count.
    usage = Usage(
        queue_s=min(usage.queue_s for usage in usages),
        compute_s=sum(usage.compute_s for usage in usages),
        supplied=sum(usage.supplied for usage in usages),
        largest_batch=max(usage.largest_batch for usage in usages),
    )
    return BlockResult(outputs, np.concatenate([result.rows for result in results]), errors, usage)


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
