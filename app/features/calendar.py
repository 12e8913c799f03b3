"""Frequencies, timestamps and calendar features of a series.

Text and datetimes go in; ``Frequency`` values, datetimes and small float arrays come out. Both
training and serving read calendars here, so a model sees the same features in both. Only the
standard library and numpy; all timestamps are naive (an offset is converted to UTC and dropped).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput

NUM_CALENDAR_FEATURES = 6
MAX_SEASON = 168

_MINUTES_A_DAY = 1440
_EPOCH = datetime(1970, 1, 1)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_ALLOWED = "min, 5min, 15min, 30min, h, D, B, W, MS, ME, QS, QE, YS, YE (a leading count is allowed: 6h)"


class Unit(Enum):
    """What a frequency counts."""

    MINUTE = "min"
    BUSINESS_DAY = "B"
    MONTH = "M"


@dataclass(frozen=True, slots=True)
class Frequency:
    """One sampling frequency.

    ``count`` units pass between two steps. ``season`` and ``long_season`` are the default seasonal
    lengths in steps, 1 where there is none. ``month_end`` keeps the last day of the month.
    """

    code: str
    unit: Unit
    count: int
    season: int
    long_season: int
    month_end: bool = False


_UNITS: dict[str, str] = {
    **dict.fromkeys(("min", "t", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hour", "hours", "hourly"), "h"),
    **dict.fromkeys(("d", "day", "days", "daily"), "D"),
    **dict.fromkeys(("b", "bd", "business"), "B"),
    **dict.fromkeys(("w", "week", "weeks", "weekly"), "W"),
    **dict.fromkeys(("m", "me", "month", "months", "monthly"), "ME"),
    "ms": "MS",
    **dict.fromkeys(("q", "qe", "quarter", "quarterly"), "QE"),
    "qs": "QS",
    **dict.fromkeys(("y", "ye", "a", "year", "yearly", "annual"), "YE"),
    **dict.fromkeys(("ys", "as"), "YS"),
}
_MONTHS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
_MINUTES = {"min": 1, "h": 60, "D": _MINUTES_A_DAY, "W": 7 * _MINUTES_A_DAY}
_PATTERN = re.compile(r"\s*(\d{0,6})\s*([A-Za-z]+)(?:-[A-Za-z]{3})?\s*")


@lru_cache(maxsize=256)
def parse_frequency(text: str) -> Frequency:
    """Read a pandas-like frequency code: ``h``, ``15min``, ``D``, ``W``, ``MS`` and their aliases.

    Raises:
        InvalidInput: the code is not one of those; the message lists them.
    """
    match = _PATTERN.fullmatch(text)
    name = _UNITS.get(match[2].lower()) if match else None
    count = int(match[1] or 1) if match else 0
    if name is None or count < 1:
        raise InvalidInput("freq", f"unknown frequency {text[:40]!r}; allowed: {_ALLOWED}", allowed=_ALLOWED)
    code = name if count == 1 else f"{count}{name}"
    if name in _MINUTES:
        minutes = count * _MINUTES[name]
        # One code for one frequency: 24h is D, 7D is W, 120min is 2h.
        name = next(unit for unit in ("W", "D", "h", "min") if minutes % _MINUTES[unit] == 0)
        count = minutes // _MINUTES[name]
        code = name if count == 1 else f"{count}{name}"
        return Frequency(code, Unit.MINUTE, minutes, *_seasons_of_minutes(minutes))
    if name == "B":
        season = 5 if count == 1 else 1
        return Frequency(code, Unit.BUSINESS_DAY, count, season, season)
    months = count * _MONTHS[name]
    season = 12 // months if 12 % months == 0 else 1
    return Frequency(code, Unit.MONTH, months, season, season, month_end=name.endswith("E"))


def _seasons_of_minutes(minutes: int) -> tuple[int, int]:
    """The longest cycles among hour, day, week and year that fit a whole number of steps."""
    if minutes == 7 * _MINUTES_A_DAY:
        return 1, 52
    cycles = [
        cycle // minutes
        for cycle in (60, _MINUTES_A_DAY, 7 * _MINUTES_A_DAY)
        if cycle % minutes == 0 and 1 < cycle // minutes <= MAX_SEASON
    ]
    if not cycles:
        return 1, 1
    return (cycles[-2], cycles[-1]) if len(cycles) > 1 and minutes >= 60 else (cycles[-1], cycles[-1])


def parse_timestamp(text: str) -> datetime:
    """Read an ISO 8601 date or time, also ``2024-01``; an offset is converted to UTC and dropped.

    Raises:
        ValueError: the text is not a date.
    """
    cleaned = text.strip()
    if re.fullmatch(r"\d{4}-\d{1,2}", cleaned):
        year, month = cleaned.split("-")
        return datetime(int(year), int(month), 1)
    moment = datetime.fromisoformat(cleaned)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def advance(start: datetime, frequency: Frequency, steps: int) -> datetime:
    """The timestamp ``steps`` steps after ``start`` (before it, when negative).

    Months keep the day of the month where it exists, or its last day for a month-end frequency.

    Raises:
        OverflowError: the result lies outside the years 1 to 9999.
    """
    try:
        if frequency.unit is Unit.MINUTE:
            return start + timedelta(minutes=steps * frequency.count)
        if frequency.unit is Unit.BUSINESS_DAY:
            day = np.busday_offset(start.date(), steps * frequency.count, roll="forward").astype(np.int64)
            return datetime.combine(date.fromordinal(int(day) + _EPOCH_ORDINAL), start.time())
        years, month = divmod(start.month - 1 + steps * frequency.count, 12)
        last = _days_in_month(start.year + years, month + 1)
        day_of_month = last if frequency.month_end else min(start.day, last)
        return start.replace(year=start.year + years, month=month + 1, day=day_of_month)
    except (ValueError, OverflowError) as error:
        raise OverflowError(f"{abs(steps)} steps from {start.isoformat()} leave the calendar") from error


def _days_in_month(year: int, month: int) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1)
    return (following - timedelta(days=1)).day


def timestamps(start: datetime, frequency: Frequency, num: int, *, skip: int = 0) -> list[datetime]:
    """``num`` timestamps, the first one ``skip`` steps after ``start``.

    Raises:
        OverflowError: they leave the years 1 to 9999.
    """
    if frequency.unit is Unit.MINUTE:
        first, step = advance(start, frequency, skip), timedelta(minutes=frequency.count)
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
    if frequency.unit is Unit.MINUTE:
        origin = (start.toordinal() - _EPOCH_ORDINAL) * _MINUTES_A_DAY + minute + skip * frequency.count
        days, minutes = np.divmod(origin + frequency.count * np.arange(num), _MINUTES_A_DAY)
        features[:, 0:2] = _MINUTE_OF_DAY[minutes]
    elif frequency.unit is Unit.BUSINESS_DAY:
        offsets = frequency.count * (skip + np.arange(num))
        days = np.busday_offset(np.datetime64(start, "D"), offsets, roll="forward").astype(np.int64)
        features[:, 0:2] = _MINUTE_OF_DAY[minute]
    else:
        months = (start.year - 1970) * 12 + start.month - 1 + frequency.count * (skip + np.arange(num))
        days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + (start.day - 1)
        features[:, 0:2] = _MINUTE_OF_DAY[minute]
    if frequency.unit is not Unit.MONTH:
        features[:, 2:4] = _DAY_OF_WEEK[(days + 3) % 7]
    features[:, 4:6] = _DAY_OF_YEAR[days % 1461]
    return features


def infer_frequency(moments: Sequence[datetime]) -> Frequency:
    """The frequency of a time column: its most common step.

    Raises:
        InvalidInput: fewer than two timestamps, or they do not increase.
    """
    if len(moments) < 2:
        raise InvalidInput("time", "at least two timestamps are needed to tell the frequency; pass freq")
    steps = Counter(later - earlier for earlier, later in pairwise(moments))
    step = steps.most_common(1)[0][0]
    if step <= timedelta(0):
        raise InvalidInput("time", "timestamps must increase")
    if timedelta(days=28) <= step <= timedelta(days=31):
        end = all((moment + timedelta(days=1)).day == 1 for moment in moments)
        return parse_frequency("ME" if end else "MS")
    if timedelta(days=89) <= step <= timedelta(days=92):
        end = all((moment + timedelta(days=1)).day == 1 for moment in moments)
        return parse_frequency("QE" if end else "QS")
    if timedelta(days=365) <= step <= timedelta(days=366):
        return parse_frequency("YS")
    if step == timedelta(days=1) and len(moments) >= 6 and all(moment.weekday() < 5 for moment in moments):
        return parse_frequency("B")
    minutes, rest = divmod(step, timedelta(minutes=1))
    if rest or minutes < 1:
        raise InvalidInput("time", f"a step of {step} is not a whole number of minutes; pass freq")
    return parse_frequency(f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}min")


def position(start: datetime, moment: datetime, frequency: Frequency) -> int:
    """How many steps ``moment`` lies after ``start``.

    Raises:
        InvalidInput: it lies between two steps.
    """
    if frequency.unit is Unit.MINUTE:
        steps, rest = divmod(moment - start, timedelta(minutes=frequency.count))
        exact = not rest
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
