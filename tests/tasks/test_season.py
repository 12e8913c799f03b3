"""Seasons found in values: real ones, none where there is none, whatever a stranger sends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.tasks.forecast.season import find_season
from tests.public_data import data_folder
from training.data.download import DataStore
from training.forecast.series import read_rows

Array = NDArray[np.float64]
LONGEST = 168
WEEKS = ((24, 168),)


def found(values: Array, longest: int = LONGEST) -> tuple[int, int] | None:
    """With days of hours known to make weeks."""
    return find_season(np.asarray(values, np.float64), longest, WEEKS)


@pytest.mark.parametrize("season", [2, 3, 4, 5, 7, 10, 12, 17, 52, 100])
def test_a_repeated_pattern_is_found(season: int) -> None:
    """Any pattern, with noise, on a trend, and at any size."""
    random = np.random.default_rng(season)
    time = np.arange(10 * season + 20)
    values = random.normal(size=season)[time % season] + 0.05 * time + 0.2 * random.normal(size=len(time))
    for scale in (1.0, 1e-9, 1e12):
        assert found(values * scale) == (season, season)


def test_a_pure_sine_is_found() -> None:
    """Smooth and without noise; a day of hours has its week beside it, where the model knows weeks."""
    time = np.arange(300)
    assert found(np.sin(2 * np.pi * time / 24)) == (24, 168)
    assert find_season(np.sin(2 * np.pi * time / 24), 100, WEEKS) == (24, 24)
    assert find_season(np.sin(2 * np.pi * np.arange(2000) / 288), 366) == (288, 288)


def test_gaps_outliers_and_growth_do_not_hide_a_season() -> None:
    """A tenth and a whole week are missing; one value is a thousand times too large; 3 % growth a step."""
    random = np.random.default_rng(0)
    time = np.arange(200)
    values = 50 + 10 * np.sin(2 * np.pi * time / 7) + random.normal(size=200)
    gapped = values.copy()
    gapped[random.random(200) < 0.1] = np.nan
    gapped[100:107] = np.nan
    assert found(gapped) == (7, 7)
    outlier = values.copy()
    outlier[150] = 50_000
    assert found(outlier) == (7, 7)
    assert found(values * 1.03**time) == (7, 7)


NOTHING: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "white noise": lambda random, length: random.normal(size=length),
    "random walk": lambda random, length: np.cumsum(random.normal(size=length), dtype=np.float64),
    "trend": lambda random, length: 0.1 * np.arange(length) + random.normal(size=length),
    "growth": lambda random, length: (
        np.exp(0.02 * np.arange(length)) * (1 + 0.05 * random.normal(size=length))
    ),
    "level shift": lambda random, length: (
        5.0 * (np.arange(length) > length * random.random()) + random.normal(size=length)
    ),
    "rare sales": lambda random, length: np.where(
        random.random(length) < 0.1, random.poisson(3, length), 0.0
    ),
}


@pytest.mark.parametrize("length", [20, 50, 100, 300, 1000])
@pytest.mark.parametrize("kind", NOTHING)
def test_nothing_is_found_where_nothing_is(kind: str, length: int) -> None:
    """In at most 6 % of series."""
    random = np.random.default_rng(length)
    false = sum(found(NOTHING[kind](random, length)) is not None for _ in range(200))
    assert false <= 12


@pytest.mark.parametrize(
    "values", [[], [1.0], [np.nan] * 50, [5.0] * 50, [np.nan, 3.0] * 30, list(range(50)), [1e30, -1e30] * 3]
)
def test_what_cannot_have_one_has_none(values: list[float]) -> None:
    """Nothing, too little, constants and straight lines."""
    assert found(np.array(values, np.float64)) is None


@given(st.lists(st.floats(-1e30, 1e30) | st.just(float("nan")), max_size=120), st.integers(1, 400))
@example([5e-324, 1.0, 2.0, 3.0] * 4, 12)
def test_any_values_are_read(values: list[float], longest: int) -> None:
    """Without a warning; a season fits into the series, and no pair is longer than may be."""
    season = find_season(np.array(values, np.float64), longest, WEEKS)
    if season is not None:
        assert 2 <= season[0] <= season[1] <= longest
        assert 2 * season[0] <= len(values)


@pytest.mark.skipif(data_folder() is None, reason="the public data is not there")
def test_days_are_found_in_the_hourly_series_of_m4() -> None:
    """A tenth of them; of 414 it is 94 %, and some of the others have other seasons."""
    folder = data_folder()
    assert folder is not None
    rows = read_rows(DataStore(folder, may_download=False).file("forecasting/m4/Hourly-train.csv.gz"))[1::10]
    series = [np.array([float(cell) for cell in row[1:] if cell]) for row in rows]
    assert sum(found(values) == (24, 168) for values in series) >= 0.9 * len(series)
