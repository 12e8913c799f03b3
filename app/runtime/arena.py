"""Where the state rows of live sequences are: one ``[slots, S]`` array.

Who owns which row is the engine's business (``app.engine.slots``); this file knows only what
is in them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Arena:
    """The rows of all slots.

    Args:
        num_slots: rows.
        start: ``[S]``, what a fresh sequence begins with.
    """

    def __init__(self, num_slots: int, start: NDArray[np.float32]) -> None:
        self._start = np.ascontiguousarray(start, np.float32)
        self._rows = np.zeros((num_slots, start.size), np.float32)

    def place(self, slot: int, row: NDArray[np.float32] | None) -> None:
        """Set a slot to ``row``, or to the start row."""
        self._rows[slot] = self._start if row is None else row

    def gather(self, slots: NDArray[np.intp]) -> NDArray[np.float32]:
        """Copies of the rows, ``[len(slots), S]``."""
        return self._rows.take(slots, axis=0)

    def scatter(self, slots: NDArray[np.intp], rows: NDArray[np.float32]) -> None:
        """Write rows back; ``slots`` must not repeat."""
        self._rows[slots] = rows

    def export_row(self, slot: int) -> NDArray[np.float32]:
        """A copy of one row."""
        row: NDArray[np.float32] = self._rows[slot].copy()
        return row
