"""How a series becomes the input ``x`` of a forecaster: the one definition, for training and serving.

Values, a start time and the series' kind go in; float32 ``[time, 12]`` comes out. The columns:

====  =========================  ==========================================================
0     ``value``                  raw, in the caller's unit; 0 where missing
1     ``observed``               1, or 0 where the value is missing
2     ``frequency``              row of the frequency embedding; 0 is "other or unknown"
3     ``season``                 seasonal length in steps, 1 to the model's window (1: none)
4     ``long_season``            a second, longer seasonal length, the same
5     ``has_time``               1 when the start time is known
6-11  ``minute_sin`` ..          sine and cosine of minute of day, day of week, day of year;
      ``year_cos``               0 when the start time is not known
====  =========================  ==========================================================

The network normalises values itself, in float32: a series whose variation is less than three
ten-millionths of its level is constant to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.features.calendar import calendar_features
from app.features.frequency import MAX_SEASON, Frequency

COLUMNS: tuple[str, ...] = (
    *("value", "observed", "frequency", "season", "long_season", "has_time"),
    *("minute_sin", "minute_cos", "weekday_sin", "weekday_cos", "year_sin", "year_cos"),
)
VALUE, OBSERVED, FREQUENCY, SEASON, LONG_SEASON, HAS_TIME, CALENDAR = range(7)
NUM_COLUMNS = len(COLUMNS)
# What a manifest calls the treatment of a series whose frequency is not told.
NO_FREQUENCY = "*"
# Series of a table share their times; single steps do not, and long series would keep much memory.
_KEPT = range(16, 2048)
_kept = lru_cache(maxsize=64)(calendar_features)


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """What is the same at every step of a series; seasons in steps; see :func:`kind_for`."""

    frequency: Frequency | None = None
    index: int = 0
    season: int = 1
    long_season: int = 1


UNKNOWN = SeriesKind()


def encode(
    values: ArrayLike, start: datetime | None = None, kind: SeriesKind = UNKNOWN, *, skip: int = 0
) -> NDArray[np.float32]:
    """Values ``[time]``, NaN where missing, to network input ``[time, 12]``.

    ``start`` is the time of the series' first step, and ``values[0]`` lies ``skip`` steps after it.
    """
    numbers = np.asarray(values, np.float32)
    x = np.empty((len(numbers), NUM_COLUMNS), np.float32)
    x[:] = _constants(kind.index, kind.season, kind.long_season)
    x[:, VALUE] = numbers
    missing = np.isnan(numbers)
    if missing.any():
        x[missing, :FREQUENCY] = 0
    if start is not None and kind.frequency is not None:
        x[:, HAS_TIME] = 1
        calendar = _kept if len(numbers) in _KEPT else calendar_features
        # It looks at the clock on the wall alone; without it, moments of two offsets would count as equal.
        x[:, CALENDAR:] = calendar(start.replace(tzinfo=None), kind.frequency, len(numbers), skip=skip)
    return x


@lru_cache(maxsize=256)
def _constants(index: int, season: int, long_season: int) -> NDArray[np.float32]:
    """A row ``[12]`` of an observed step without a time."""
    row = np.zeros(NUM_COLUMNS, np.float32)
    row[OBSERVED : LONG_SEASON + 1] = (1, index, season, long_season)
    return row


def kind_for(
    frequency: Frequency | None,
    trained: Mapping[str, tuple[int, int, int]],
    *,
    season: int | None = None,
    long_season: int | None = None,
    window: int = MAX_SEASON,
) -> SeriesKind:
    """The kind of a series for a model.

    Args:
        trained: index, season and long season of each frequency the model was trained on, by code;
            another frequency gets index 0 and its own usual seasons. ``"*"`` stands for a series
            whose frequency is not told.
        season: the caller's seasonal length, 1 to ``window``, instead of the usual one.
        long_season: a longer one that goes with it; left out, the usual one where it is a multiple of it.
        window: steps back that the model remembers; a usual season that is longer counts as none.
    """
    if frequency is None:
        usual = trained.get(NO_FREQUENCY, (0, 1, 1))
    else:
        usual = trained.get(frequency.code, (0, frequency.season, frequency.long_season))
    index, short, long = usual
    short, long = 1 if short > window else short, 1 if long > window else long
    if season is not None:
        usual_long = long if long % season == 0 else season
        short, long = season, max(season, usual_long if long_season is None else long_season)
    return SeriesKind(frequency, index, short, long)
