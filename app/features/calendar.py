"""Timestamps and calendar features of a series.

Text and datetimes go in; datetimes and small float arrays come out. Both training and serving read
calendars here, so a model sees the same features in both. A timestamp keeps the offset from UTC that it
was written with: days, weeks, months and hours of the day are those of that offset, since sales follow
the clock on the wall.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.features.frequency import Frequency, Unit

NUM_CALENDAR_FEATURES = 6

_MINUTES_A_DAY = 1440
_EPOCH = datetime(1970, 1, 1)
_EPOCH_ORDINAL = _EPOCH.toordinal()
# Of a step: a timestamp that is off its place by less is taken to be in its place.
_TOLERANCE = 0.05


def parse_timestamp(text: str) -> datetime:
    """An ISO 8601 date or time, also ``2024-01``; an offset is kept. Raises ValueError."""
    cleaned = text.strip()
    if re.fullmatch(r"\d{4}-\d{1,2}", cleaned):
        year, month = cleaned.split("-")
        return datetime(int(year), int(month), 1)
    return datetime.fromisoformat(cleaned)


def advance(start: datetime, frequency: Frequency, steps: int) -> datetime:
    """The timestamp ``steps`` steps after ``start`` (before it, when negative).

    Months keep the day of the month where it exists, or its last day for a month-end frequency.

    Raises:
        OverflowError: the result lies outside the years 1 to 9999.
    """
    try:
        if frequency.unit is Unit.SECOND:
            return start + timedelta(seconds=steps * frequency.count)
        if frequency.unit is Unit.BUSINESS_DAY:
            day = np.busday_offset(start.date(), steps * frequency.count, roll="forward").astype(np.int64)
            return datetime.combine(date.fromordinal(int(day) + _EPOCH_ORDINAL), start.timetz())
        years, month = divmod(start.month - 1 + steps * frequency.count, 12)
        last = monthrange(start.year + years, month + 1)[1]
        day_of_month = last if frequency.month_end else min(start.day, last)
        return start.replace(year=start.year + years, month=month + 1, day=day_of_month)
    except (ValueError, OverflowError) as error:
        raise OverflowError(f"{abs(steps)} steps from {start.isoformat()} leave the calendar") from error


def timestamps(start: datetime, frequency: Frequency, num: int, *, skip: int = 0) -> list[datetime]:
    """``num`` timestamps, the first one ``skip`` steps after ``start``; raises as :func:`advance`."""
    if frequency.unit is Unit.SECOND:
        first, step = advance(start, frequency, skip), timedelta(seconds=frequency.count)
        advance(first, frequency, max(num - 1, 0))
        return [first + step * k for k in range(num)]
    return [advance(start, frequency, skip + k) for k in range(num)]


def _circle(num: int, period: float) -> NDArray[np.float32]:
    angle = 2 * np.pi * np.arange(num) / period
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


# Looking a phase up is an order of magnitude cheaper than computing its sine, and exact to repeat.
_MINUTE_OF_DAY = _circle(_MINUTES_A_DAY, _MINUTES_A_DAY)
_DAY_OF_WEEK = _circle(7, 7)
_DAY_OF_YEAR = _circle(1461, 365.25)


def calendar_features(
    start: datetime, frequency: Frequency, num: int, *, skip: int = 0
) -> NDArray[np.float32]:
    """Sine and cosine of minute of day, day of week and day of year.

    A year counts 365.25 days from 1970-01-01. The day of the week of a monthly or longer
    frequency is noise, so it is zero.

    Returns:
        ``[num, 6]`` for the steps ``skip .. skip + num - 1`` after ``start``.
    """
    features = np.zeros((num, NUM_CALENDAR_FEATURES), np.float32)
    days: NDArray[np.int64]
    minute = start.hour * 60 + start.minute
    if frequency.unit is Unit.SECOND:
        seconds = (start.toordinal() - _EPOCH_ORDINAL) * 86_400 + minute * 60 + start.second
        passed = seconds + frequency.count * (skip + np.arange(num))
        days, minutes = np.divmod(passed // 60, _MINUTES_A_DAY)
        features[:, 0:2] = _MINUTE_OF_DAY[minutes]
    elif frequency.unit is Unit.BUSINESS_DAY:
        offsets = frequency.count * (skip + np.arange(num))
        days = np.busday_offset(
            np.datetime64(start.replace(tzinfo=None), "D"), offsets, roll="forward"
        ).astype(np.int64)
        features[:, 0:2] = _MINUTE_OF_DAY[minute]
    else:
        months = (start.year - 1970) * 12 + start.month - 1 + frequency.count * (skip + np.arange(num))
        days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + (start.day - 1)
        features[:, 0:2] = _MINUTE_OF_DAY[minute]
    if frequency.unit is not Unit.MONTH:
        features[:, 2:4] = _DAY_OF_WEEK[(days + 3) % 7]
    features[:, 4:6] = _DAY_OF_YEAR[days % 1461]
    return features


def position(start: datetime, moment: datetime, frequency: Frequency) -> int:
    """How many steps ``moment`` lies after ``start``; raises InvalidInput between two steps."""
    if not frequency.within_days or (start.tzinfo is None) != (moment.tzinfo is None):
        # Clocks may have been changed between the two; the calendar has not.
        start, moment = start.replace(tzinfo=None), moment.replace(tzinfo=None)
    if frequency.unit is Unit.SECOND:
        passed = (moment - start) / timedelta(seconds=frequency.count)
        steps = round(passed)
        exact = abs(passed - steps) <= _TOLERANCE
    elif frequency.unit is Unit.BUSINESS_DAY:
        steps, remainder = divmod(int(np.busday_count(start.date(), moment.date())), frequency.count)
        exact = not remainder and moment.weekday() < 5
    else:
        months = (moment.year - start.year) * 12 + moment.month - start.month
        steps, remainder = divmod(months, frequency.count)
        exact = not remainder
    if not exact:
        raise InvalidInput(
            "time",
            f"{moment.isoformat()} is not a whole number of {frequency.code} steps after {start.isoformat()}",
        )
    return steps
