"""How long runs take, learned from the runs themselves.

A run of a recurrent network costs a part for the call, a part per step and a part per row and
step, and how these compare depends on the network and the machine. So nothing is assumed: the
time per row and step is remembered for each power of two of rows and of steps.
"""

from __future__ import annotations

# Weight of a new measurement; a single run that was held up must not change a decision for long.
_WEIGHT = 0.1


class CostModel:
    """Seconds of a run by its rows and steps. Pure: it is told what was measured."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], float] = {}

    def observe(self, rows: int, steps: int, seconds: float) -> None:
        """A run of that size took so long."""
        cell = (rows.bit_length(), steps.bit_length())
        each = seconds / (rows * steps)
        known = self._cells.get(cell)
        # One run that was held up for long counts as one that took four times as long as usual.
        self._cells[cell] = each if known is None else known + _WEIGHT * (min(each, 4 * known) - known)

    def estimate(self, rows: int, steps: int) -> float:
        """Seconds that a run would take; zero before anything was measured.

        A size not seen yet is taken to cost as much per row and step as the most similar one.
        """
        cell = (rows.bit_length(), steps.bit_length())
        each = self._cells.get(cell)
        if each is None:
            each = min(
                ((abs(cell[0] - r) + abs(cell[1] - s), each) for (r, s), each in self._cells.items()),
                default=(0, 0.0),
            )[1]
        return each * rows * steps
