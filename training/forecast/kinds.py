"""The kinds of built-in series: which row of the frequency embedding each has, and its seasons."""

from __future__ import annotations

from app.features.frequency import parse_frequency
from app.features.series import SeriesKind

# Rows of the frequency embedding; several codes share one where only the anchor differs.
FREQUENCY_INDEX: dict[str, int] = {
    "h": 1,
    "W": 2,
    "D": 3,
    "B": 4,
    "MS": 5,
    "ME": 5,
    "QS": 6,
    "QE": 6,
    "YS": 7,
    "YE": 7,
    "30min": 8,
    "15min": 9,
    "10min": 10,
    "5min": 11,
    "min": 12,
}
NUM_FREQUENCIES = 13
# Where the network knows longer seasons than are usual: a year of days, a day of minutes.
_SEASONS: dict[str, tuple[int, int]] = {
    "D": (7, 364),
    "30min": (48, 336),
    "15min": (96, 96),
    "10min": (144, 144),
    "5min": (288, 288),
}


def kind_of(code: str) -> SeriesKind:
    """The kind of a built-in series of this frequency."""
    frequency = parse_frequency(code)
    seasons = _SEASONS.get(frequency.code, (frequency.season, frequency.long_season))
    return SeriesKind(frequency, FREQUENCY_INDEX[frequency.code], *seasons)


HOURLY, WEEKLY, DAILY, BUSINESS, MONTHLY, QUARTERLY, YEARLY = (
    kind_of(code) for code in ("h", "W", "D", "B", "MS", "QS", "YS")
)
HALF_HOURLY, QUARTER_HOURLY, FIVE_MINUTELY, MINUTELY = (
    kind_of(code) for code in ("30min", "15min", "5min", "min")
)


def built_in_frequencies() -> dict[str, tuple[int, int, int]]:
    """Index, season and long season of each frequency the built-in series have, by code."""
    kinds = {code: kind_of(code) for code in FREQUENCY_INDEX}
    return {code: (kind.index, kind.season, kind.long_season) for code, kind in kinds.items()}
