"""Times on the grid of a frequency: clocks of sensors and people keep it only nearly.

Steps of up to a week are snapped: each time goes to the nearest step, as long as it lies within a fifth of a
step of it. Longer ones leave a twentieth, since there they may be months that are no whole number of days.
Business days and months are told by the calendar alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.features.calendar import position
from app.features.frequency import Frequency, Unit

_DAY_S = 86_400
# A grid that no row lies on exactly begins on one of these seconds, if that is near enough.
_ROUND_S = (3600, 900, 300, 60, 10, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the rows of a series lie.

    Attributes:
        start: time of step 0, with the offset of the last row, if they have offsets.
        steps: of each row.
        off: how far a row lies from its step at most.
    """

    start: datetime
    steps: list[int]
    off: timedelta


class OffGrid(Exception):
    """The row of this index lies between two steps; says how."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message


def place(moments: Sequence[datetime], frequency: Frequency) -> Grid:
    """The grid of some rows' times, in any order; raises OffGrid."""
    first, last = min(moments), max(moments)
    start, off = first, timedelta(0)
    if frequency.unit is Unit.SECOND:
        start, steps, off = _snapped(moments, first, frequency)
    else:
        steps = []
        for index, moment in enumerate(moments):
            try:
                steps.append(position(first, moment, frequency))
            except InvalidInput as error:
                raise OffGrid(index, error.message) from error
    if start.tzinfo is not None:
        start = start.astimezone(last.tzinfo) if frequency.within_days else start.replace(tzinfo=last.tzinfo)
    return Grid(start, steps, off)


def _snapped(
    moments: Sequence[datetime], first: datetime, frequency: Frequency
) -> tuple[datetime, list[int], timedelta]:
    # Hours pass by the clock; days pass by the calendar, whatever the clock was set to.
    origin = first if frequency.within_days else first.replace(tzinfo=None)
    local = moments if frequency.within_days else [moment.replace(tzinfo=None) for moment in moments]
    seconds = np.array([(moment - origin).total_seconds() for moment in local])
    count = frequency.count
    residuals = seconds - np.rint(seconds / count) * count
    if not residuals.any():
        return first, np.rint(seconds / count).astype(int).tolist(), timedelta(0)
    kept_nearly = count <= 7 * _DAY_S
    allowed = (0.2 if kept_nearly else 0.05) * count
    shift = _anchor(residuals, origin, count, allowed) if kept_nearly else 0.0
    steps = np.rint((seconds - shift) / count)
    distances = np.abs(seconds - shift - steps * count)
    beyond = np.flatnonzero(distances > allowed)
    if len(beyond):
        index = int(beyond[0])
        raise OffGrid(
            index,
            f"{moments[index].isoformat()} is not a whole number of {frequency.code} steps after "
            f"{first.isoformat()}, but {_said(distances[index])} off",
        )
    lowest = int(steps.min())
    try:
        start = first + timedelta(seconds=float(shift) + lowest * count)
    except OverflowError as error:
        raise OffGrid(0, "its steps leave the calendar (years 1 to 9999)") from error
    off = timedelta(seconds=round(float(distances.max()), 3))
    return start, (steps - lowest).astype(int).tolist(), off


def _anchor(residuals: NDArray[np.float64], origin: datetime, count: int, allowed: float) -> float:
    """Seconds from ``origin`` to the grid: where most rows lie, else near their middle on a round time."""
    values, times = np.unique(residuals, return_counts=True)
    if 2 * times.max() >= len(residuals):
        return float(values[times.argmax()])
    middle = float(np.median(residuals))
    midnight = (origin - origin.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    spare = max(allowed - float(np.abs(residuals - middle).max()), 0.0)
    for unit in (min(count, _DAY_S), *_ROUND_S):
        shift = round((midnight + middle) / unit) * unit - midnight
        if unit <= count and abs(shift - middle) <= spare:
            return shift
    return middle


def _said(seconds: float) -> str:
    for unit, name in ((_DAY_S, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def snap_note(grid: Grid, frequency: Frequency) -> str | None:
    """What is said of a series whose times were moved."""
    if not grid.off:
        return None
    return (
        f"times lie up to {_said(grid.off.total_seconds())} off their {frequency.code} steps; "
        "each value was taken to the nearest step"
    )
