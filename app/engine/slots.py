"""Who owns which row. Integers only; what is in the rows is the runtime's business."""

from __future__ import annotations

from collections import deque

from app.core.plan import SlotRef


class SlotTable:
    """A fixed number of slots, each with a generation that grows at every release.

    Args:
        num_slots: rows in the arena.
    """

    def __init__(self, num_slots: int) -> None:
        self._generations = [0] * num_slots
        self._free = deque(range(num_slots))

    @property
    def num_free(self) -> int:
        """Slots nobody owns."""
        return len(self._free)

    @property
    def num_used(self) -> int:
        """Slots somebody owns."""
        return len(self._generations) - len(self._free)

    def acquire(self) -> SlotRef:
        """Take a free slot, the one longest free first.

        Raises:
            IndexError: none is free; ask ``num_free`` before.
        """
        index = self._free.popleft()
        return SlotRef(index, self._generations[index])

    def is_current(self, ref: SlotRef) -> bool:
        """Whether the owner that ``ref`` names still owns the slot."""
        return self._generations[ref.index] == ref.generation

    def release(self, ref: SlotRef) -> None:
        """Give a slot back; a reference that is no longer current changes nothing."""
        if self.is_current(ref):
            self._generations[ref.index] += 1
            self._free.append(ref.index)
