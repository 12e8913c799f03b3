"""How long runs of the graph take, learned from the runs themselves.

A run costs a part for the call, a part per step and a part per row and step, and how these compare
depends on the network and the machine. So nothing is assumed: the time per row and step is remembered
for each power of two of rows and of steps.
"""

from __future__ import annotations

# Weight of a new measurement; a single run that was held up must not change a decision for long.
_WEIGHT = 0.1


def size_class(rows: int, steps: int) -> tuple[int, int]:
    """Sizes of one class are measured together: the same powers of two of rows and of steps."""
    return rows.bit_length(), steps.bit_length()


class CostTable:
    """Seconds of a run by its rows and steps. Pure: it is told what was measured."""

    def __init__(self) -> None:
        self._per_step: dict[tuple[int, int], float] = {}

    def observe(self, rows: int, steps: int, seconds: float) -> None:
        size = size_class(rows, steps)
        measured = seconds / (rows * steps)
        known = self._per_step.get(size)
        # A run that was held up for long counts as one that took four times as long as usual.
        self._per_step[size] = (
            measured if known is None else known + _WEIGHT * (min(measured, 4 * known) - known)
        )

    def measured(self, rows: int, steps: int) -> float | None:
        """Seconds that a run of that size takes; ``None`` before one was measured."""
        per_step = self._per_step.get(size_class(rows, steps))
        return None if per_step is None else per_step * rows * steps

    def estimate(self, rows: int, steps: int) -> float:
        """As :meth:`measured`, or by the most similar size; zero before anything was measured."""
        size = size_class(rows, steps)
        per_step = self._per_step.get(size)
        if per_step is None:
            per_step = min(
                (
                    (abs(size[0] - rows_class) + abs(size[1] - steps_class), known)
                    for (rows_class, steps_class), known in self._per_step.items()
                ),
                default=(0, 0.0),
            )[1]
        return per_step * rows * steps
