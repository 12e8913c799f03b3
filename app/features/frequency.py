"""Sampling frequencies: their codes, their usual seasons, and which one a column of times has."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from itertools import pairwise

from app.core.errors import InvalidInput

MAX_SEASON = 168

_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_ALLOWED = (
    "s, min, 5min, 15min, 30min, h, D, B, W, MS, ME, QS, QE, YS, YE (a leading count is allowed: 6h, 4W, 2MS)"
)


class Unit(Enum):
    SECOND = "s"
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

    @property
    def within_days(self) -> bool:
        """Whether steps are shorter than a day, so that they pass by the clock and not by the calendar."""
        return self.unit is Unit.SECOND and self.count % _DAY_S != 0


_UNITS: dict[str, str] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
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
_SECONDS = {"s": 1, "min": 60, "h": 3600, "D": _DAY_S, "W": _WEEK_S}
_PATTERN = re.compile(r"\s*(\d{0,9})\s*([A-Za-z]+)(?:-([A-Za-z]{3}))?\s*")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# What pandas writes behind a dash: the day on which a week, or the month in which a quarter or a year, ends.
_ANCHORS = {"W": _WEEKDAYS, **dict.fromkeys(("QS", "QE", "YS", "YE"), MONTH_NAMES)}
# What clocks are set to: seconds, minutes, hours, a day, a week.
_ROUND_STEPS = (
    *(1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800),
    *(3600, 7200, 10_800, 14_400, 21_600, 28_800, 43_200, _DAY_S, _WEEK_S),
)
_NEAR, _VERY_NEAR = 0.1, 0.02
# Twelve years.
_MOST_SECONDS = 12 * 366 * _DAY_S


@lru_cache(maxsize=256)
def parse_frequency(text: str) -> Frequency:
    """A pandas-like code: ``h``, ``15min``, ``D``, ``W``, ``MS`` and their aliases; raises InvalidInput."""
    match = _PATTERN.fullmatch(text)
    name = _UNITS.get(match[2].lower()) if match else None
    count = int(match[1] or 1) if match else 0
    anchored = match is None or match[3] is None or match[3].lower() in _ANCHORS.get(name or "", ())
    if name is None or count < 1 or not anchored or count * _SECONDS.get(name, 1) > _MOST_SECONDS:
        raise InvalidInput("freq", f"unknown frequency {text[:40]!r}; allowed: {_ALLOWED}", allowed=_ALLOWED)
    if name in _SECONDS:
        return _of_seconds(count * _SECONDS[name])
    if name == "B":
        season = 5 if count == 1 else 1
        return Frequency("B" if count == 1 else f"{count}B", Unit.BUSINESS_DAY, count, season, season)
    months = count * _MONTHS[name]
    season = 12 // months if 12 % months == 0 else 1
    code = name if count == 1 else f"{count}{name}"
    return Frequency(code, Unit.MONTH, months, season, season, month_end=name.endswith("E"))


def _of_seconds(seconds: int) -> Frequency:
    """One code for one frequency: 24h is D, 7D is W, 120min is 2h."""
    name = next(unit for unit in ("W", "D", "h", "min", "s") if seconds % _SECONDS[unit] == 0)
    count = seconds // _SECONDS[name]
    code = name if count == 1 else f"{count}{name}"
    return Frequency(code, Unit.SECOND, seconds, *_seasons(seconds))


def _seasons(seconds: int) -> tuple[int, int]:
    """The longest cycles among minute, hour, day, week and year that fit a whole number of steps."""
    weeks, remainder = divmod(seconds, _WEEK_S)
    if weeks and not remainder:
        return 1, 52 // weeks if 52 % weeks == 0 else 1
    cycles = [
        cycle // seconds
        for cycle in (60, 3600, _DAY_S, _WEEK_S)
        if cycle % seconds == 0 and 1 < cycle // seconds <= MAX_SEASON
    ]
    if not cycles:
        return 1, 1
    return (cycles[-2], cycles[-1]) if len(cycles) > 1 and seconds >= 3600 else (cycles[-1], cycles[-1])


def infer_frequency(moments: Sequence[datetime]) -> Frequency:
    """The frequency of ascending times, with an offset each or none.

    Raises:
        InvalidInput: fewer than two timestamps, or they do not increase, or no frequency has such steps.
    """
    if len(moments) < 2:
        raise InvalidInput("time", "at least two timestamps are needed to tell the frequency; pass freq")
    # Hours pass by the clock, so the offsets count; days pass by the calendar, whatever the clock was set to.
    passed = Counter(later - earlier for earlier, later in pairwise(moments))
    step = _usual(passed)
    if step > timedelta(hours=20):
        local = [moment.replace(tzinfo=None) for moment in moments]
        passed = Counter(later - earlier for earlier, later in pairwise(local))
        step = _usual(passed)
        if (months := _months_between(local, passed)) is not None:
            return months
    if step <= timedelta(0):
        raise InvalidInput("time", "timestamps must increase")
    if step == timedelta(days=1) and len(moments) >= 6 and all(moment.weekday() < 5 for moment in moments):
        return parse_frequency("B")
    seconds = round(step.total_seconds())
    # Clocks of sensors drift by milliseconds; a step of a second or more is taken to the nearest second.
    if seconds < 1 or abs(step.total_seconds() - seconds) > 0.05 * seconds:
        raise InvalidInput("time", f"a step of {step} is not a whole number of seconds; pass freq")
    return _of_seconds(seconds)


def _usual(passed: Counter[timedelta]) -> timedelta:
    """The step of most times; of clocks that do not keep one, the round step that is near."""
    (common, times), total = passed.most_common(1)[0], passed.total()
    if common <= timedelta(0) or not any(step % common for step in passed):
        return common
    middle = sorted(passed.elements())[total // 2].total_seconds()
    nearest = min(_ROUND_STEPS, key=lambda step: abs(step - middle))
    near = _NEAR if 2 * times < total else _VERY_NEAR
    return timedelta(seconds=nearest) if abs(nearest - middle) <= near * nearest else common


def _months_between(moments: Sequence[datetime], passed: Counter[timedelta]) -> Frequency | None:
    """The frequency of times that are whole months apart; ``None`` where they are not."""
    places = [moment.year * 12 + moment.month for moment in moments]
    apart = [later - earlier for earlier, later in pairwise(places)]
    if min(apart) < 1:
        return None
    days = [moment.day for moment in moments]
    ends = all((moment + timedelta(days=1)).day == 1 for moment in moments)
    # The 31st of every month is the 28th or 30th of some.
    same_day = all(
        day == max(days) or (moment + timedelta(days=1)).day == 1
        for day, moment in zip(days, moments, strict=True)
    )
    # Days in a month vary, so steps of equal length are days; unless they are on the same day each time.
    shortest = min(passed)
    uneven = any(step % shortest for step in passed) and shortest >= timedelta(days=26)
    if not (same_day or uneven):
        return None
    count = math.gcd(*apart)
    end = "E" if (ends and len(set(days)) > 1) or (ends and max(days) == 31) else "S"
    for name, months in (("Y", 12), ("Q", 3)):
        if count == months:
            return parse_frequency(f"{name}{end}")
    return parse_frequency(f"{'' if count == 1 else count}M{end}")
