"""A network that adds, whose rows fail one by one, and which remembers what it was given."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from app.core.errors import NotFinite
from app.core.plan import Batch, BatchResult, BlockBatch
from app.core.sequence import BlockRequest, BlockResult, Read
from tests.fakes import SumExecutor


@dataclass
class Watched(SumExecutor):
    """Fails each row of a block whose sum is not finite, as a graph's executor does.

    Attributes:
        opened: shapes ``(rows, steps)`` of the parts of blocks, in the order in which they began.
    """

    opened: list[tuple[int, int]] = field(default_factory=list)

    def run(self, batch: Batch) -> BatchResult:
        """Add up, with an error for each sum that is not finite."""
        parts = batch.parts if isinstance(batch, BlockBatch) else ()
        self.opened += [part.request.steps.shape for part in parts if part.cursor == 0]
        result = super().run(batch)
        for part in parts:
            if part.rows is not None:
                for row in np.flatnonzero(~np.isfinite(part.rows[:, 0])).tolist():
                    part.errors.setdefault(row, NotFinite("not finite"))
        return result

    @property
    def num_turns(self) -> int:
        """Turns in which a block advanced."""
        return sum(isinstance(batch, BlockBatch) for batch in self.batches)


def one_row(*values: float, read: Read = Read.LAST) -> BlockRequest:
    """A block of a single sequence."""
    return BlockRequest(np.array([values], np.float32), read)


def check_alone(request: BlockRequest, result: BlockResult) -> None:
    """A result has the bits, the shapes and the cost that the sequence would have had without company."""
    sums = np.cumsum(request.steps, axis=1, dtype=np.float32)
    num_steps = sums.shape[1]
    wanted = {Read.NONE: sums[:, :0], Read.LAST: sums[:, -1:], Read.ALL: sums}[request.read]
    (outputs,) = result.outputs
    assert (outputs.shape, outputs.tobytes()) == (wanted.shape, wanted.tobytes())
    assert (result.rows.shape, result.rows.tobytes()) == ((1, 1), sums[:, -1:].tobytes())
    assert list(result.errors) == ([] if np.isfinite(sums[0, -1]) else [0])
    assert all(isinstance(error, NotFinite) for error in result.errors.values())
    assert result.usage.supplied == num_steps
