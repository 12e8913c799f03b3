"""Rows that an executor holds and hands to nobody."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.core.sequence import SequenceRequest
from app.runtime.executor import GraphExecutor


def row_of(executor: GraphExecutor, slot: int) -> np.ndarray:
    """The present row of a slot, ``[S]``."""
    executor._sequences.part(slot)
    row: np.ndarray = executor._slots.rows[slot].copy()
    return row


class RowKeeper(GraphExecutor):
    """Keeps the last row of each sequence that leaves.

    Attributes:
        rows: with the request that each belongs to.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rows: list[tuple[SequenceRequest, np.ndarray]] = []

    def release(self, slot: int) -> None:
        request = self._slots.requests[slot]
        assert request is not None
        self.rows.append((request, row_of(self, slot)))
        super().release(slot)

    def row(self, request: SequenceRequest) -> np.ndarray:
        """The last row of a sequence."""
        (row,) = [row for kept, row in self.rows if kept is request]
        return row
