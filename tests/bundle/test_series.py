"""How a series becomes network input."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from app.bundle.calendar import parse_frequency
from app.bundle.series import CALENDAR, COLUMNS, HAS_TIME, SeriesKind, encode, kind_for

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
