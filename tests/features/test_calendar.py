"""Frequencies, timestamps and calendar features."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.features.calendar import advance, calendar_features, parse_timestamp, position, timestamps
from app.features.frequency import MAX_SEASON, infer_frequency, parse_frequency

CODES = ("min", "5min", "15min", "30min", "h", "6h", "D", "2D", "B", "W", "MS", "ME", "QS", "QE", "YS", "YE")
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(
    lambda d: d.replace(second=0, microsecond=0)
)


@pytest.mark.parametrize(
    ("alias", "code"),
    [
        ("H", "h"),
        ("T", "min"),
        ("60min", "h"),
        ("M", "ME"),
        ("A", "YE"),
        ("W-SUN", "W"),
        ("7D", "W"),
        ("24h", "D"),
    ],
)
def test_aliases_mean_one_frequency(alias: str, code: str) -> None:
    """Different spellings of one frequency give the same value, so the model sees the same index."""
    assert parse_frequency(alias) == parse_frequency(code)


@pytest.mark.parametrize("text", ["", "x", "0h", "-1D", "h5", "9999999min", "D W", "1.5h"])
def test_an_unknown_frequency_is_refused_with_the_choices(text: str) -> None:
    """What is not a frequency is refused, and the message says what is one."""
    with pytest.raises(InvalidInput, match="allowed"):
        parse_frequency(text)


@pytest.mark.parametrize("code", CODES)
def test_seasons_are_within_what_the_row_remembers(code: str) -> None:
    """Every default season is a length that the network's buffer covers."""
    frequency = parse_frequency(code)
    assert 1 <= frequency.season <= frequency.long_season <= MAX_SEASON


def test_usual_seasons() -> None:
    """The seasons of the common frequencies are those of the M4 competition, and the week of an hour."""
    seasons = {
        code: (f.season, f.long_season)
        for code in ("h", "D", "W", "MS", "QS", "YS")
        for f in [parse_frequency(code)]
    }
    assert seasons == {"h": (24, 168), "D": (7, 7), "W": (1, 52), "MS": (12, 12), "QS": (4, 4), "YS": (1, 1)}


@given(MOMENTS, st.sampled_from(CODES), st.integers(0, 500))
def test_position_inverts_advance(start: datetime, code: str, steps: int) -> None:
    """The position of the timestamp ``steps`` after a start is ``steps``, for every frequency."""
    frequency = parse_frequency(code)
    first = advance(start, frequency, 0)
    assert position(first, advance(first, frequency, steps), frequency) == steps


@given(MOMENTS, st.sampled_from(CODES), st.integers(0, 60), st.integers(0, 60))
def test_features_of_a_part_are_those_of_the_whole(start: datetime, code: str, skip: int, num: int) -> None:
    """A series that arrives in parts has the features it would have had whole."""
    frequency = parse_frequency(code)
    whole = calendar_features(start, frequency, skip + num)
    np.testing.assert_array_equal(calendar_features(start, frequency, num, skip=skip), whole[skip:])


@given(MOMENTS, st.sampled_from(["15min", "h", "D", "W"]), st.integers(0, 400))
def test_features_agree_with_the_standard_library(start: datetime, code: str, steps: int) -> None:
    """Sine and cosine are those of the minute and weekday that ``datetime`` finds."""
    frequency = parse_frequency(code)
    moment = advance(start, frequency, steps)
    row = calendar_features(start, frequency, 1, skip=steps)[0]
    day = 2 * np.pi * (moment.hour * 60 + moment.minute) / 1440
    week = 2 * np.pi * moment.weekday() / 7
    np.testing.assert_allclose(row[:4], [np.sin(day), np.cos(day), np.sin(week), np.cos(week)], atol=1e-6)
    # A year counts 365.25 days from 1970, so its phase drifts up to two days from the day of the year.
    year = 2 * np.pi * (moment.timetuple().tm_yday - 1) / 365.25
    np.testing.assert_allclose(row[4:], [np.sin(year), np.cos(year)], atol=0.04)


def test_months_keep_their_day_or_their_last_day() -> None:
    """A month step keeps the day of the month where it exists; a month-end step keeps the end."""
    start = datetime(2024, 1, 31)
    assert [d.day for d in timestamps(start, parse_frequency("MS"), 4)] == [31, 29, 31, 30]
    assert [d.day for d in timestamps(datetime(2023, 2, 28), parse_frequency("ME"), 3)] == [28, 31, 30]


def test_business_days_skip_the_weekend() -> None:
    """The business day after a Friday is a Monday."""
    assert advance(datetime(2024, 3, 1), parse_frequency("B"), 1) == datetime(2024, 3, 4)


@pytest.mark.parametrize("code", ["min", "B", "MS"])
def test_leaving_the_calendar_is_an_overflow(code: str) -> None:
    """Timestamps beyond the year 9999 are refused, not wrapped around."""
    with pytest.raises(OverflowError):
        timestamps(datetime(9999, 12, 31, 23, 59), parse_frequency(code), 3)


@pytest.mark.parametrize("code", ["5min", "h", "D", "B", "W", "MS", "ME", "QS", "YS"])
def test_the_frequency_of_a_time_column_is_found_in_spite_of_gaps(code: str) -> None:
    """The most common step tells the frequency, also when rows are missing."""
    start = datetime(2024, 1, 31) if code == "ME" else datetime(2024, 1, 1)
    moments = timestamps(start, parse_frequency(code), 30)
    del moments[7], moments[20:22]
    assert infer_frequency(moments).code == code


@pytest.mark.parametrize("moments", [[], [datetime(2024, 1, 1)], [datetime(2024, 1, 1)] * 3])
def test_a_frequency_needs_increasing_times(moments: list[datetime]) -> None:
    """Too few or constant timestamps are refused."""
    with pytest.raises(InvalidInput):
        infer_frequency(moments)


def test_a_time_between_two_steps_is_refused() -> None:
    """A timestamp off the grid has no position."""
    with pytest.raises(InvalidInput, match="whole number"):
        position(datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 30), parse_frequency("h"))


def test_timestamps_are_read_with_and_without_offset() -> None:
    """Offsets are kept; a year and month alone are the first of the month."""
    assert parse_timestamp("2024-05-01T02:00:00+02:00").isoformat() == "2024-05-01T02:00:00+02:00"
    assert parse_timestamp(" 2024-05 ") == datetime(2024, 5, 1)
    with pytest.raises(ValueError, match="next week"):
        parse_timestamp("next week")
