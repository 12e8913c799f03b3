"""Made-up series: what a forecaster should know of series that no data set here holds.

Sums and products of a trend, seasons and noise, with shifts, outliers and pauses, drawn anew for every
epoch, after ForecastPFN (Dooley et al. 2023) and KernelSynth (Ansari et al. 2024, "Chronos"); plain
lines, exponentials, constants, exact periods, counts and demand that comes and goes; and weighed sums of
real series of one kind (TSMixup, ibid.).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.features.series import SeriesKind
from training.forecast.kinds import (
    BUSINESS,
    DAILY,
    FIVE_MINUTELY,
    HALF_HOURLY,
    HOURLY,
    MINUTELY,
    MONTHLY,
    QUARTER_HOURLY,
    QUARTERLY,
    WEEKLY,
    YEARLY,
)
from training.forecast.series import Series

Array = NDArray[np.float64]
Random = np.random.Generator

_KINDS: tuple[tuple[SeriesKind | None, float], ...] = (
    (YEARLY, 0.14),
    (QUARTERLY, 0.14),
    (MONTHLY, 0.26),
    (WEEKLY, 0.07),
    (DAILY, 0.12),
    (BUSINESS, 0.04),
    (HOURLY, 0.07),
    (HALF_HOURLY, 0.03),
    (QUARTER_HOURLY, 0.02),
    (FIVE_MINUTELY, 0.03),
    (MINUTELY, 0.02),
    (None, 0.06),
)
_LONGEST = 900


def synthetic(num: int, random: Random) -> list[Series]:
    """Made-up series, all of them for training."""
    chances = np.array([chance for _, chance in _KINDS])
    chosen = random.choice(len(_KINDS), num, p=chances / chances.sum())
    return [_one(_KINDS[index][0], random, f"{number}") for number, index in enumerate(chosen)]


def mixed(num: int, series: Sequence[Series], weights: Sequence[float], random: Random) -> list[Series]:
    """Weighed sums of stretches of real series of one frequency."""
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(series):
        groups.setdefault(item.kind.index, []).append(index)
    chances = np.asarray(weights) / np.sum(weights)
    made = []
    for number, first in enumerate(random.choice(len(series), num, p=chances)):
        group = groups[series[first].kind.index]
        members = [series[first], *(series[group[i]] for i in random.integers(0, len(group), 2))]
        members = members[: int(random.integers(2, 4))]
        length = min(_LONGEST, min(item.train_end for item in members))
        if length < 8:
            continue
        total = np.zeros(length)
        for item, weight in zip(members, random.dirichlet(np.full(len(members), 1.5)), strict=True):
            begin = int(random.integers(0, item.train_end - length + 1))
            part = item.values[begin : begin + length]
            if not np.isfinite(part).any():
                part = np.zeros(length)
            spread = float(np.nanstd(part))
            total = total + weight * (part - np.nanmean(part)) / (spread if spread > 0 else 1.0)
        if np.isfinite(total).mean() > 0.5:
            made.append(Series(f"{number}", "mixed", total, None, series[first].kind, length, length))
    return made


def _one(kind: SeriesKind | None, random: Random, name: str) -> Series:
    if kind is None:
        season = int(random.choice([1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 20, 24, 28, 30, 52, 60, 90, 100]))
        long = season * int(random.integers(2, 8)) if random.random() < 0.2 and season > 1 else season
        kind = SeriesKind(None, 0, season, min(long, 366))
    length = int(np.clip(np.exp(random.normal(np.log(max(30, 4 * kind.season)), 0.8)), 5, _LONGEST))
    if random.random() < 0.2:
        # A frequency may have no season, or another.
        kind = replace(kind, season=1, long_season=1)
    maker = _MAKERS[int(random.choice(len(_MAKERS), p=_CHANCES))]
    values = maker(length, kind, random)
    values = values * 10.0 ** random.uniform(-2, 4)
    if random.random() < 0.1:
        spread = np.ptp(values)
        values = np.round(values / (spread / random.integers(2, 60))) if spread > 0 else values
    return Series(name, "synthetic", values, None, kind, length, length)


def _season(length: int, period: int, random: Random) -> Array:
    """A pattern of ``period`` steps, about one in size, that may change slowly."""
    if period < 2:
        return np.zeros(length)
    phase = 2 * np.pi * (np.arange(period) + random.uniform(0, period)) / period
    shape = random.random()
    if shape < 0.5:
        pattern = np.zeros(period)
        for harmonic in range(1, int(random.integers(1, min(7, period // 2 + 2)))):
            pattern += random.normal() / harmonic * np.sin(harmonic * phase + random.uniform(0, 2 * np.pi))
    elif shape < 0.85:
        pattern = random.normal(size=period)
    else:
        pattern = (random.random(period) < random.uniform(0.05, 0.5)) * random.lognormal(0, 0.5, period)
    pattern -= pattern.mean()
    pattern /= max(float(pattern.std()), 1e-9)
    result = np.resize(pattern, length)
    if random.random() < 0.25:
        result = result * np.linspace(1.0, random.uniform(0.3, 2.0), length)
    if random.random() < 0.2 and period * 2 < length:
        other = np.resize(random.permutation(pattern), length)
        share = np.linspace(0, random.uniform(0.2, 1.0), length)
        result = (1 - share) * result + share * other
    return np.asarray(result, np.float64)


def _trend(length: int, random: Random) -> Array:
    """A path, about one in size over the whole."""
    time = np.arange(length) / max(length - 1, 1)
    kind = random.random()
    if kind < 0.2:
        return np.zeros(length)
    if kind < 0.38:
        path = time * random.normal()
    elif kind < 0.5:
        path = np.interp(time, [0, random.uniform(0.2, 0.9), 1], random.normal(size=3))
    elif kind < 0.6:
        path = np.expm1(time * random.uniform(0.5, 5.0))
        path = path / max(float(path[-1]), 1e-9) * random.choice([-1.0, 1.0])
    elif kind < 0.67:
        path = 1 / (1 + np.exp(-(time - random.uniform(0.2, 1.0)) * random.uniform(4, 20)))
    elif kind < 0.85:
        path = (random.normal(size=length) + random.normal() * 0.3).cumsum() / np.sqrt(length)
    elif kind < 0.93:
        path = random.normal(size=length).cumsum().cumsum() / length**1.5
        path = path + random.normal() * 0.5 * time
    else:
        # Smooth and without end, as a draw from a Gaussian process.
        waves = random.normal(size=(8, 1)) * np.sin(
            random.uniform(0.5, 12, (8, 1)) * time + random.uniform(0, 2 * np.pi, (8, 1))
        )
        path = waves.sum(0) / 3
    return np.asarray(path, np.float64)


def _noise(length: int, random: Random) -> Array:
    kind = random.random()
    if kind < 0.45:
        noise = random.normal(size=length)
    elif kind < 0.65:
        noise = random.standard_t(3, length) / 1.5
    elif kind < 0.85:
        noise, keep = random.normal(size=length), random.uniform(0.2, 0.95)
        for step in range(1, length):
            noise[step] = keep * noise[step - 1] + np.sqrt(1 - keep**2) * noise[step]
    else:
        noise = random.normal(size=length) * np.exp(random.normal(size=length).cumsum() * 0.1)
        noise = noise / max(float(noise.std()), 1e-9)
    return noise


def _composed(length: int, kind: SeriesKind, random: Random) -> Array:
    size = 10.0 ** random.uniform(-1.0, 0.7)
    seasonal = random.random() < 0.65 and kind.season > 1
    season = _season(length, kind.season, random) * (10.0 ** random.uniform(-1, 0.3)) if seasonal else 0.0
    if kind.long_season > kind.season and random.random() < 0.7:
        season = season + _season(length, kind.long_season, random) * 10.0 ** random.uniform(-1, 0.3)
    trend = _trend(length, random) * size * 2
    noise = _noise(length, random) * 10.0 ** random.uniform(-2.0, 0.3) * (random.random() > 0.08)
    if random.random() < 0.35:
        strength = random.uniform(0.05, 0.5)
        values = np.exp(np.clip(strength * (trend + season + noise), -12, 12))
    else:
        values = trend + season + noise
    spread = max(float(np.abs(np.diff(values)).mean()) if length > 1 else 0.0, 1e-9)
    if random.random() < 0.1:
        values = values + (np.arange(length) >= random.integers(0, length)) * random.normal() * 12 * spread
    if random.random() < 0.35:
        places = random.integers(0, length, int(random.integers(1, 4)))
        values[places] += random.choice([-1.0, 1.0]) * spread * np.exp(random.uniform(1.5, 5.5, len(places)))
    if random.random() < 0.04:
        # Closed on some phases of the season, and before the beginning.
        values = values - values.min() + spread
        values[(np.arange(length) % max(kind.season, 2)) < random.integers(1, 3)] = 0.0
    if random.random() < 0.03:
        values[: int(random.integers(1, max(2, length // 2)))] = 0.0
    return np.asarray(values, np.float64)


def _line(length: int, kind: SeriesKind, random: Random) -> Array:
    path = np.arange(length) * random.choice([-1.0, 1.0]) + random.uniform(-100, 100)
    if random.random() < 0.3:
        path = path + _season(length, kind.season, random) * 10.0 ** random.uniform(0, 1.5)
    if random.random() < 0.25:
        path = path + random.normal(size=length) * 10.0 ** random.uniform(-1, 0.5)
    return np.asarray(path, np.float64)


def _exponential(length: int, kind: SeriesKind, random: Random) -> Array:
    """Growth by the same share each step, or towards a limit, with what little noise it may have."""
    time = np.arange(length)
    rate = min(10.0 ** random.uniform(-2.6, -1.25), 7.0 / length)
    path = np.exp(rate * time) if random.random() < 0.7 else 1.0 - np.exp(-rate * time)
    if random.random() < 0.25:
        path = path * (1.0 + _season(length, kind.season, random) * random.uniform(0.02, 0.2))
    if random.random() < 0.65:
        path = path * (1.0 + random.normal(size=length) * 10.0 ** random.uniform(-4.0, -1.2))
    return np.asarray(path * random.choice([-1.0, 1.0]) + random.normal(), np.float64)


def _period(length: int, kind: SeriesKind, random: Random) -> Array:
    period = kind.season if kind.season > 1 else int(random.integers(2, 5))
    pattern = random.normal(size=period) if random.random() < 0.6 else _season(period, period, random)
    return np.asarray(np.resize(pattern, length), np.float64)


def _level(length: int, kind: SeriesKind, random: Random) -> Array:
    """Noise around levels that change at once."""
    values = np.full(length, random.normal())
    for place in random.integers(0, length, int(random.integers(1, 4))):
        values[place:] = random.normal() * 3
    return np.asarray(values + random.normal(size=length) * 10.0 ** random.uniform(-3, 0), np.float64)


def _intermittent(length: int, kind: SeriesKind, random: Random) -> Array:
    rate = np.clip(random.uniform(0.03, 0.6) * np.exp(0.5 * _season(length, kind.season, random)), 0, 1)
    sizes = random.choice([1.0, 2.0]) + random.poisson(random.uniform(0, 4), length) * (random.random() < 0.7)
    return np.asarray((random.random(length) < rate) * sizes, np.float64)


def _counts(length: int, kind: SeriesKind, random: Random) -> Array:
    rate = np.exp(
        random.uniform(-0.5, 3.5)
        + 0.4 * _season(length, kind.season, random) * (random.random() < 0.6)
        + 0.6 * _trend(length, random)
    )
    return np.asarray(random.poisson(np.clip(rate, 0, 1e4)), np.float64)


_MAKERS = (_composed, _line, _exponential, _period, _level, _intermittent, _counts)
_CHANCES = (0.41, 0.12, 0.20, 0.10, 0.06, 0.06, 0.05)
