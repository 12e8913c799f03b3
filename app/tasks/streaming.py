"""What a task says about a session: its inputs as steps, its outputs one by one.

A session's task remembers what it needs in a small JSON ``context`` (for a forecaster, where in
the calendar the series is); the recurrent state itself is the network's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Context = dict[str, Any]
Output = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedInputs:
    """The inputs of one call as steps of the network.

    Attributes:
        steps: ``[time, ...]`` in the graph's input type.
        reported: which of them the caller counts, in order; the others were put between, such as
            a start token or the missing steps of a gap.
        context: to remember after the call.
        detail: what the task needs to describe the outputs.
    """

    steps: NDArray[np.generic]
    reported: tuple[int, ...]
    context: Context
    detail: Sequence[Any]


@dataclass(frozen=True, slots=True, eq=False)
class AppliedInputs:
    """A call and what the network made of it.

    Attributes:
        before: the last output before the call; ``None`` before the first step.
        outputs: ``[time, ...]``, an output per step.
    """

    encoded: EncodedInputs
    before: NDArray[np.float32] | None
    outputs: NDArray[np.float32]

    def known(self, place: int) -> NDArray[np.float32] | None:
        """What the network said of a step before it was fed."""
        return self.outputs[place - 1] if place else self.before


class StreamTask(Protocol):
    """The session side of a task."""

    def open(self, options: Context) -> Context:
        """The context of a new session.

        Raises:
            InvalidInput: an option is unknown or wrong.
        """
        ...

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """Inputs to steps.

        Args:
            context: of the session.
            step: steps applied before.
            inputs: as the caller sent them.

        Raises:
            InvalidInput: the inputs are wrong; names the element.
        """
        ...

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """One JSON output per reported step of each call.

        What is said of a call never depends on the others: they are together for speed alone.
        """
        ...
