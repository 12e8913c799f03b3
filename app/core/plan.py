"""What the scheduler and the executor say to each other: slots and lengths, then outcomes."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """Slots that advance together by the same number of steps.

    Attributes:
        slots: who; no slot appears twice in a plan.
        length: steps each of them advances. A slot whose supplied steps are used up advances
            by the token it drew last, and only in groups of length one.
        read: per slot, what to read of these steps. ``LAST`` means the last step of this
            group, which the scheduler asks for only where it is the last supplied one.
        sample: per slot, whether a token is drawn after the last step.
    """

    slots: tuple[SlotRef, ...]
    length: int
    read: tuple[Read, ...]
    sample: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One tick: groups that run one after the other."""

    groups: tuple[GroupPlan, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SlotResult:
    """What one slot got out of a group.

    Attributes:
        values: outputs read, in manifest order, each ``[count, ...]``; empty when none were.
        token: the token drawn, if one was.
        finish: set when that token ended the sequence.
        error: set when this slot alone failed, for instance because its row is not finite.
    """

    values: tuple[NDArray[np.float32], ...] = ()
    token: Token | None = None
    finish: FinishReason | None = None
    error: RunFailed | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GroupResult:
    """Outcome of one group: results in slot order, or the error that all of them share."""

    results: tuple[SlotResult, ...] = ()
    error: RunFailed | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PlanResult:
    """Outcomes in group order."""

    groups: tuple[GroupResult, ...] = field(default_factory=tuple)
