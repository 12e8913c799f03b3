"""A network that adds, whose rows fail one by one, and which remembers what it was given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from app.core.errors import NotFinite, RunFailed
from app.core.plan import BlockOutput, BlockPlan
from app.core.sequence import BlockRequest, BlockResult, Read
from tests.fakes import SumExecutor


@dataclass
class Watched(SumExecutor):
    """Fails each row of a block whose sum is not finite, as a graph's executor does.

    Attributes:
        opened: shapes ``(rows, steps)`` of the blocks, in their order.
    """

    opened: list[tuple[int, int]] = field(default_factory=list)

    def open_block(self, number: int, request: BlockRequest) -> None:
        """Take a block up."""
        rows, length = request.steps.shape
        self.opened.append((rows, length))
        super().open_block(number, request)

    def take_block(self, number: int) -> BlockOutput:
        """All its sums, with an error for each that is not finite."""
        output = super().take_block(number)
        bad: dict[int, RunFailed] = {
            row: NotFinite("not finite") for row in np.flatnonzero(~np.isfinite(output.rows[:, 0])).tolist()
        }
        return replace(output, errors={**bad, **output.errors})

    @property
    def num_turns(self) -> int:
        """Turns in which a block advanced."""
        return sum(isinstance(group, BlockPlan) for plan in self.plans for group in plan.groups)


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
