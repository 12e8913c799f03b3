"""What the scheduler and the executor say to each other: slots and lengths, then outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.sequence import FinishReason, Read, Token


@dataclass(frozen=True, slots=True)
class SlotRef:
    """A slot and which of its successive owners is meant.

    A result is delivered only while the generation matches, so a late one never reaches the
    next owner of the row.
    """

    index: int
    generation: int


@dataclass(frozen=True, slots=True, eq=False)
class GroupPlan:
    """Slots whose supplied steps advance together, all by the same number.

    Attributes:
        slots: who; no slot appears twice in a plan.
        length: steps each of them advances, at most what it has left.
        read: per slot, what to read of these steps. ``LAST`` means the last step of this
            group, which the scheduler asks for only where it is the last supplied one.
        sample: per slot, whether a token is drawn after the last step.
    """

    slots: tuple[SlotRef, ...]
    length: int
    read: tuple[Read, ...]
    sample: tuple[bool, ...]

    @property
    def rows(self) -> int:
        """Of the run."""
        return len(self.slots)


@dataclass(frozen=True, slots=True, eq=False)
class DecodePlan:
    """Slots that advance by the token they drew last, each by one step, and draw the next.

    The scheduler plans the same object again while nobody joins or leaves, so whatever is
    derived from it may be kept until another one comes.
    """

    slots: tuple[SlotRef, ...]

    @property
    def length(self) -> int:
        """Steps each of them advances."""
        return 1

    @property
    def rows(self) -> int:
        """Of the run."""
        return len(self.slots)


@dataclass(slots=True, eq=False)
class BlockPlan:
    """Blocks, or parts of them, that advance together, all by the same number of steps.

    Attributes:
        numbers: which of the opened blocks, in the order of their rows in the run.
        length: steps, at most what each of them has left.
        rows: of all of them together.
    """

    numbers: tuple[int, ...]
    length: int
    rows: int


AnyPlan = GroupPlan | DecodePlan | BlockPlan


@dataclass(slots=True, eq=False)
class Plan:
    """One tick: groups that run one after the other."""

    groups: tuple[AnyPlan, ...]


@dataclass(slots=True, eq=False)
class GroupResult:
    """Outcome of one group, by the place of a row in it. (Not frozen: that would cost each run 2 us.)

    Attributes:
        values: outputs in manifest order, each ``[rows, count, ...]``, of the last ``count``
            steps; empty when nothing was read, and for blocks, whose outputs stay with the
            executor until they end.
        tokens: drawn by the rows that were to be sampled, in their order; of a row that is in
            ``errors``, or in ``ended`` with ``END``, it means nothing.
        ended: rows whose token ended the sequence.
        errors: rows that failed, for instance because they are not finite. When the run itself
            failed that is every row of it, or of the lane that failed.
        seconds: of the run.
    """

    values: tuple[NDArray[np.float32], ...] = ()
    tokens: Sequence[Token | int] = ()
    ended: Mapping[int, FinishReason] = field(default_factory=dict)
    errors: Mapping[int, RunFailed] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class PlanResult:
    """Outcomes in group order."""

    groups: tuple[GroupResult, ...] = field(default_factory=tuple)


@dataclass(slots=True, eq=False)
class BlockOutput:
    """What a block brought: outputs ``[N, count, ...]`` in manifest order, rows ``[N, S]``, failed rows."""

    outputs: tuple[NDArray[np.float32], ...]
    rows: NDArray[np.float32]
    errors: Mapping[int, RunFailed]
