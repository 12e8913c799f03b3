"""Groups of sequences that feed back together, step after step.

    arena --join--> group: rows, last tokens, positions --one leaves--> arena

While nobody joins or leaves, the rows that a run gives are the rows that the next one takes: nothing
is gathered or scattered, and the arena is behind. Before anybody else looks at one of its slots the
group writes back and is parted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.plan import DecodePlan
from app.runtime.arena import Arena
from app.runtime.feedback import Drawn, Ends, FeedbackTable


class DecodeGroup:
    """Slots that draw together. What is the same for each step is worked out once.

    Args:
        plan: who.
        arena: where their rows are.
        table: how they draw.
    """

    __slots__ = ("_ends", "_sampler", "_steps_taken", "rows", "slots", "steps")

    def __init__(self, plan: DecodePlan, arena: Arena, table: FeedbackTable) -> None:
        self.slots = np.array([ref.index for ref in plan.slots], np.intp)
        self.rows: NDArray[np.float32] = arena.gather(self.slots)
        # The next step of each, ``[n, 1]``: its last token.
        self.steps = table.last[self.slots][:, None]
        self._sampler = table.sampler(self.slots)
        self._ends = Ends(table.feedbacks(self.slots))
        self._steps_taken = 0

    def draw(self, logits: NDArray[np.float32], errors: dict[int, RunFailed]) -> Drawn:
        """The next token of each.

        Args:
            logits: ``[n, vocabulary]``.
            errors: rows that failed; a stop rule that raises is added.
        """
        ids = self._sampler.draw(logits)
        self.steps[:, 0] = ids
        self._steps_taken += 1
        return self._sampler.tokens(logits, ids), self._ends.check(ids, errors)

    def save(self, arena: Arena, table: FeedbackTable) -> None:
        """Write back what has changed."""
        arena.scatter(self.slots, self.rows)
        table.last[self.slots] = self.steps[:, 0]
        table.position[self.slots] += np.uint64(self._steps_taken)


class DecodeGroups:
    """The groups that are together now. A slot is in one at most.

    Args:
        arena: where rows are that are in no group.
        table: how slots draw.
    """

    def __init__(self, arena: Arena, table: FeedbackTable) -> None:
        self._arena = arena
        self._table = table
        self._groups: dict[DecodePlan, DecodeGroup] = {}
        self._plans: dict[int, DecodePlan] = {}

    def get(self, plan: DecodePlan) -> DecodeGroup:
        """The group of a plan. Groups that its members were in before are parted."""
        group = self._groups.get(plan)
        if group is None:
            for ref in plan.slots:
                self.part(ref.index)
            group = self._groups[plan] = DecodeGroup(plan, self._arena, self._table)
            self._plans.update(dict.fromkeys([ref.index for ref in plan.slots], plan))
        return group

    def part(self, slot: int) -> None:
        """Write back the group that a slot is in, if any; its plan will not come again."""
        plan = self._plans.get(slot)
        if plan is not None:
            self._groups.pop(plan).save(self._arena, self._table)
            for ref in plan.slots:
                del self._plans[ref.index]
