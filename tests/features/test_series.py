"""How a series becomes network input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.features.calendar import calendar_features
from app.features.frequency import parse_frequency
from app.features.series import CALENDAR, COLUMNS, HAS_TIME, SeriesKind, encode, kind_for

HOURLY = SeriesKind(parse_frequency("h"), 1, 24, 168)


def test_missing_values_become_a_mask() -> None:
    """A NaN is a zero with ``observed`` 0; everything else keeps its value."""
    x = encode([1.5, np.nan, -2.0])
    assert x.dtype == np.float32
    assert x.shape == (3, len(COLUMNS))
    np.testing.assert_array_equal(x[:, :2], [[1.5, 1], [0, 0], [-2, 1]])


def test_without_a_start_there_is_no_calendar() -> None:
    """No start, or no frequency, means zeros and ``has_time`` 0."""
    for x in (encode([1.0, 2.0], None, HOURLY), encode([1.0, 2.0], datetime(2024, 1, 1))):
        assert not x[:, HAS_TIME:].any()


def test_parts_equal_the_whole() -> None:
    """A series encoded in two parts gives the rows of the series encoded at once."""
    values, start = np.arange(50.0), datetime(2024, 2, 28, 13)
    parts = [encode(values[:17], start, HOURLY), encode(values[17:], start, HOURLY, skip=17)]
    whole = encode(values, start, HOURLY)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole[:, CALENDAR:].any()


VALUES = st.lists(
    st.sampled_from([np.nan, 0.0, -0.0, 1.5, 1e38]) | st.floats(width=32, allow_infinity=False), max_size=30
)
STARTS = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))
KINDS = st.builds(
    SeriesKind,
    st.none() | st.sampled_from(["15min", "h", "D", "W", "MS"]).map(parse_frequency),
    st.integers(0, 9),
    st.integers(1, 168),
    st.integers(1, 168),
)


@given(VALUES, STARTS, KINDS, st.integers(0, 500))
def test_every_column_is_what_the_table_says(
    values: list[float], start: datetime | None, kind: SeriesKind, skip: int
) -> None:
    """Step by step and column by column, with gaps and without, with a time and without."""
    timed = start is not None and kind.frequency is not None
    calendar = np.zeros((len(values), len(COLUMNS) - CALENDAR), np.float32)
    if start is not None and kind.frequency is not None:
        calendar = calendar_features(start, kind.frequency, len(values), skip=skip)
    x = encode(values, start, kind, skip=skip)
    assert x.dtype == np.float32
    assert x.shape == (len(values), len(COLUMNS))
    for step, value in enumerate(values):
        head = [0.0, 0.0] if np.isnan(value) else [value, 1.0]
        row = [*head, kind.index, kind.season, kind.long_season, timed, *calendar[step]]
        assert x[step].tobytes() == np.array(row, np.float32).tobytes()


def test_an_input_is_nobodys_but_its_callers() -> None:
    """What is written into one does not show in the next of the same kind."""
    encode([1.0, np.nan], datetime(2024, 1, 1), HOURLY)[:] = 7
    encode([1.0], None, HOURLY)[:] = 7
    np.testing.assert_array_equal(encode([2.0], None, HOURLY), [[2, 1, 1, 24, 168] + 7 * [0]])


def test_no_values_give_no_steps() -> None:
    """An empty series is an empty input, not an error."""
    assert encode([], datetime(2024, 1, 1), HOURLY).shape == (0, len(COLUMNS))


@pytest.mark.parametrize(
    ("code", "season", "expected"),
    [
        ("h", None, (1, 24, 168)),
        ("D", None, (0, 7, 7)),
        (None, None, (2, 5, 5)),
        ("h", 12, (1, 12, 168)),
        ("h", 25, (1, 25, 25)),
    ],
)
def test_the_kind_of_a_series_for_a_model(
    code: str | None, season: int | None, expected: tuple[int, int, int]
) -> None:
    """Trained frequencies bring their index and seasons; others are index 0; the caller's season wins."""
    frequency = None if code is None else parse_frequency(code)
    kind = kind_for(frequency, {"h": (1, 24, 168), "*": (2, 5, 5)}, season=season)
    assert (kind.index, kind.season, kind.long_season) == expected


def test_equal_moments_of_two_offsets_have_their_own_clocks() -> None:
    """What is remembered of one series' times is not given to another that begins at the same moment."""
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    elsewhere = noon.astimezone(timezone(timedelta(hours=5)))
    assert noon == elsewhere
    values = np.arange(48.0)
    for start in (noon, elsewhere, noon):
        found = encode(values, start, HOURLY)
        alone = np.concatenate([encode(values[[at]], start, HOURLY, skip=at) for at in range(48)])
        assert np.array_equal(found, alone)
