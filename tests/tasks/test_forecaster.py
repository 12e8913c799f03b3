"""The shipped forecaster: what must hold for a forecast of any series, whoever sends it.

Its figures stand on the model card; here is what no figure says.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.bundle.reader import read_bundle
from app.features.frequency import parse_frequency
from app.features.series import SeriesKind, kind_for
from app.tasks.forecast.spec import ForecastSpec, known_frequencies
from training.forecast.backtest import GraphForecaster, History, forecast_after

Array = NDArray[np.float64]
BUNDLE = Path(__file__).parents[2] / "models" / "forecaster" / "4"
RANDOM = np.random.default_rng(7)
NOISE = 11 + RANDOM.normal(size=60)


@cache
def forecaster() -> GraphForecaster:
    return GraphForecaster(read_bundle(BUNDLE))


def kind(freq: str | None = None, season: int | None = None) -> SeriesKind:
    """As the server finds it."""
    spec = read_bundle(BUNDLE).manifest.spec_as(ForecastSpec)
    frequency = None if freq is None else parse_frequency(freq)
    return kind_for(frequency, known_frequencies(spec), season=season, window=spec.window)


def forecast(values: Array | list[float], freq: str | None = None, season: int | None = None) -> Array:
    """Quantiles ``[48, 11]`` after the last value."""
    history = History(np.asarray(values, np.float64), None, kind(freq, season))
    return np.asarray(forecast_after(forecaster(), [history])[0], np.float64)


def median(values: Array | list[float], freq: str | None = None, season: int | None = None) -> Array:
    return forecast(values, freq, season)[:, forecaster().quantile_levels.index(0.5)]


def width(quantiles: Array) -> Array:
    """Of the 80 % interval."""
    levels = forecaster().quantile_levels
    return np.asarray(quantiles[:, levels.index(0.9)] - quantiles[:, levels.index(0.1)])


def test_levels_reach_99_percent_and_seasons_a_year_of_days() -> None:
    """What the manifest promises."""
    spec = read_bundle(BUNDLE).manifest.spec_as(ForecastSpec)
    assert (spec.quantiles[0], spec.quantiles[-1]) == (0.005, 0.995)
    assert (spec.window, spec.horizon) == (366, 48)


@given(st.floats(-(2.0**40), 2.0**40, width=32), st.integers(2, 60))
@settings(max_examples=15, deadline=None)
def test_a_constant_stays(value: float, length: int) -> None:
    """Whatever its level, to the last bit, at every level."""
    assert (forecast([value] * length, "D") == np.float32(value)).all()


@pytest.mark.parametrize("freq", [None, "D", "MS", "QS", "YS", "h", "15min"])
@pytest.mark.parametrize("slope", [1.0, -3.5])
def test_a_straight_line_goes_on(freq: str | None, slope: float) -> None:
    """Within a fifth of a step, as far as the network looks."""
    line = slope * np.arange(148.0) + 7
    assert np.abs(median(line[:100], freq) - line[100:]).max() < 0.2 * abs(slope)


@pytest.mark.parametrize("freq", ["D", "MS", "QS"])
@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("length", [60, 100])
def test_growth_by_the_same_share_grows_on(freq: str, noise: float, length: int) -> None:
    """By 2 % a step: most of what comes lies in the 80 % interval, and a line is left behind."""
    path = 100 * 1.02 ** np.arange(length + 24.0)
    path *= 1 + noise * np.random.default_rng(2).normal(size=len(path))
    ahead = forecast(path[:length], freq)[:24]
    levels = forecaster().quantile_levels
    low, middle, high = (ahead[:, levels.index(level)] for level in (0.1, 0.5, 0.9))
    assert np.mean((path[length:] >= low) & (path[length:] <= high)) >= 0.6
    line = path[length - 1] + (path[length - 1] - path[length - 13]) / 12 * 24
    assert abs(middle[-1] - path[-1]) < abs(line - path[-1])


@pytest.mark.parametrize(("freq", "season"), [("h", 24), ("D", 7), ("MS", 12), (None, 2), (None, 31)])
def test_an_exact_period_repeats(freq: str | None, season: int) -> None:
    """Any pattern, within a hundredth of its spread."""
    pattern = np.random.default_rng(season).normal(size=season)
    series = np.resize(pattern, 6 * season + 60)
    history = 6 * season + 5
    wanted = series[history : history + 48]
    assert np.abs(median(series[:history], freq, season) - wanted).max() < 0.01 * np.ptp(pattern)


def test_smooth_periods_go_on_through_a_gap_and_at_every_spacing() -> None:
    """An hourly sine with its last 30 values missing; a day of five-minute values; noughts and ones."""
    sine = np.sin(np.arange(240) * 2 * np.pi / 24)
    known = sine[:170].copy()
    known[-30:] = np.nan
    assert np.abs(median(known, "h") - sine[170:218]).max() < 0.05
    day = np.sin(np.arange(4 * 288) * 2 * np.pi / 288)
    assert np.abs(median(day[: 3 * 288], "5min") - day[3 * 288 : 3 * 288 + 48]).max() < 0.05
    assert np.abs(median([0.0, 1.0] * 30, season=2) - np.resize([0.0, 1.0], 48)).max() < 0.01


def test_a_year_is_seen_in_days() -> None:
    """Of noisy daily values with a yearly wave, the next weeks follow the wave."""
    wave = np.sin(np.arange(900) * 2 * np.pi / 365)
    noisy = wave + np.random.default_rng(3).normal(size=900) * 0.05
    assert np.abs(median(noisy[:800], "D") - wave[800:848]).mean() < 0.15


@pytest.mark.parametrize("closed", [False, True])
def test_weekdays_stay_weekdays_when_a_year_is_known(closed: bool) -> None:
    """Of two years of days with a weekly pattern, Sundays closed or not, better than the week before."""
    random = np.random.default_rng(1)
    time = np.arange(740)
    sales = 1000 + 300 * np.sin(time * 2 * np.pi / 7) + random.normal(0, 50, len(time))
    sales[closed & (time % 7 == 6)] = 0.0
    model, naive = [], []
    for origin in range(500, 692, 24):
        ahead = sales[origin : origin + 48]
        model.append(np.abs(median(sales[:origin], "D") - ahead).mean())
        naive.append(np.abs(np.resize(sales[origin - 7 : origin], 48) - ahead).mean())
    assert np.mean(model) < np.mean(naive)


@pytest.mark.parametrize("length", [6, 12, 18, 24, 60])
def test_the_month_that_a_series_starts_in_decides_nothing(length: int) -> None:
    """However short: the calendar of a series without a season does not mislead."""
    random = np.random.default_rng(5)
    values = 100 + random.normal(size=(3, length)).cumsum(axis=1)
    middle = forecaster().quantile_levels.index(0.5)
    starts = [None, *(datetime(2000, month, 1) for month in range(1, 13))]
    for each in values:
        histories = [History(each, start, kind("MS")) for start in starts]
        medians = np.stack([one[:24, middle] for one in forecast_after(forecaster(), histories)])
        assert np.abs(medians - medians[0]).max() < 0.15 * each.std()


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=40),
    st.floats(-50, 50).filter(lambda factor: abs(factor) > 0.01),
    st.floats(-1000, 1000),
)
@settings(max_examples=25, deadline=None)
def test_unit_level_and_sign_change_nothing(values: list[float], factor: float, shift: float) -> None:
    """``f(a x + b) = a f(x) + b``, mirrored where ``a`` is below zero."""
    series = np.round(np.asarray(values), 1)
    plain = forecast(series, "MS") * factor + shift
    moved = series * factor + shift
    changed = forecast(moved, "MS")
    scale = abs(factor) * max(float(np.abs(np.diff(series)).mean()), 1e-3)
    wanted = plain if factor > 0 else plain[:, ::-1]
    # Values and answers are single: what is far from nought is known to this alone.
    spacing = float(np.spacing(np.abs(np.append(moved, wanted)).max().astype(np.float32)))
    assert np.abs(changed - wanted).max() < 10 * spacing + 1e-3 * max(
        scale, float(np.abs(wanted - shift).max()) * 0.1
    )


@pytest.mark.parametrize("factor", [1e-25, 1e-9, 1e12, 1e25])
def test_tiny_and_huge_series_are_forecast_alike(factor: float) -> None:
    """Nothing is lost in a unit."""
    np.testing.assert_allclose(median(NOISE * factor, "D") / factor, median(NOISE, "D"), rtol=1e-4)


# Eight hours may be a part of the day, so that hours farther ahead go back towards what was there before.
@pytest.mark.parametrize(("freq", "ahead"), [(None, 5), ("D", 5), ("h", 4), ("MS", 5)])
def test_a_new_level_is_believed_after_eight_values(freq: str | None, ahead: int) -> None:
    """Sixty times 10, then eight times 100: the next values are near 100."""
    after = median([10.0] * 60 + [100.0] * 8, freq)
    assert np.abs(after[:ahead] - 100).max() < 10


def test_one_wild_value_moves_little_and_is_not_echoed() -> None:
    """Of values near 11, one of 200 three days before the end."""
    wild = NOISE.copy()
    wild[-3] = 200
    assert np.abs(median(wild, "D") - median(NOISE, "D"))[:14].max() < 30
    wild = NOISE.copy()
    wild[-30] = 1e9
    assert np.abs(median(wild, "D")[:14] - median(NOISE, "D")[:14]).max() < 100


def test_few_observations_give_wide_intervals() -> None:
    """Of two to five values the interval is wider than what they span; of sixty it is not."""
    for length in (2, 3, 4, 5):
        assert width(forecast(NOISE[:length], "MS"))[0] > np.ptp(NOISE[:length])
    assert width(forecast(NOISE, "MS"))[0] < np.ptp(NOISE)


def test_a_repeated_season_is_not_certainty() -> None:
    """Two equal years of months are continued with an interval."""
    pattern = np.random.default_rng(5).normal(size=12) * 5 + 10
    quantiles = forecast(np.tile(pattern, 2), "MS")
    assert width(quantiles)[:12].min() > 0.02 * np.ptp(pattern)


@pytest.mark.parametrize(("freq", "season"), [("D", 7), ("MS", 12), ("h", 24)])
def test_a_trend_with_a_season_is_followed(freq: str, season: int) -> None:
    """After ten seasons the error of the next one is below a quarter of the series' standard deviation."""
    time = np.arange(12 * season + 48)
    truth = time * 0.5 + 10 * np.sin(time * 2 * np.pi / season)
    history = 10 * season
    noisy = truth[:history] + np.random.default_rng(2).normal(size=history)
    error = np.abs(median(noisy, freq)[:season] - truth[history : history + season]).mean()
    assert error < 0.25 * noisy.std()


def test_closed_days_and_leading_zeros_do_no_harm() -> None:
    """Zeros before the first sale, and on one day of each week, are finite and followed."""
    week = np.where(np.arange(140) % 7 == 6, 0.0, 20.0)
    assert np.abs(median(np.r_[np.zeros(60), week][:-10], "D")[:10] - week[-10:]).max() < 3
