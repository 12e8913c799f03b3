"""CSV files as people have them that have broken trainings, by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
START = date(2021, 1, 1)


def sales(num: int, seed: int = 0) -> Array:
    """Whole numbers with a weekly and a yearly season."""
    time = np.arange(num)
    season = 30 * np.sin(2 * np.pi * time / 7) + 20 * np.sin(2 * np.pi * time / 365)
    noise = np.random.default_rng(seed).normal(0, 8, num)
    return np.asarray(np.round(120 + season + noise), np.float64)


def ill_behaved(num: int = 1096) -> dict[str, Mapping[str, Array]]:
    """Columns of daily values by the name of their file; with fewer days all of them are shorter."""
    days = [START + timedelta(days=day) for day in range(num)]
    random, plain, third = np.random.default_rng(1), sales(num), num // 3
    time = np.arange(num)
    holiday = np.array([(day.month, day.day) in ((12, 25), (1, 1)) for day in days])
    sunday = np.array([day.weekday() == 6 for day in days])
    files = {
        "closed-days": np.where(holiday | sunday, 0.0, plain),
        "closed-on-holidays": np.where(holiday, 0.0, plain),
        "launch-ramp": np.round(plain * np.clip((time - third) / third, 0, 1)),
        "unit-change": np.where(time > num // 2, 1000 * plain, plain),
        "outlier": np.where(time == num // 2, 1e9, plain),
        "first-huge": np.where(time == 0, 1e9, plain),
        "mostly-zeros": np.where(random.random(num) < 0.01, random.integers(1, 5, num), 0).astype(float),
        "30-rows": plain[:30],
        "leading-zeros": np.where(time < third, 0.0, plain),
        "long-gap": np.where((time > third) & (time < 2 * third), np.nan, plain),
        "constant-stretch": np.where((time > third) & (time < 2 * third), 55.0, plain),
        "counting-to-7": (time % 7).astype(float),
        "all-zeros": np.zeros(num),
    }
    return {name: {"sold": values} for name, values in files.items()}


def large(rows: int = 200_000, columns: int = 2000) -> dict[str, Mapping[str, Array]]:
    """One long series, and many short ones."""
    return {
        "200000-rows": {"sold": sales(rows)},
        "2000-columns": {f"shop {shop}": (1 + shop % 7) * sales(40, shop) for shop in range(columns)},
    }


def write(path: Path, columns: Mapping[str, Array]) -> Path:
    """With a row for each day, and an empty cell for what is missing."""
    lines = [",".join(["day", *columns])]
    for step, cells in enumerate(zip(*columns.values(), strict=True)):
        # The calendar ends before the longest series does.
        day = str(np.datetime64(START) + step)
        lines.append(",".join([day, *("" if np.isnan(cell) else f"{cell:.10g}" for cell in cells)]))
    path.write_text("\n".join(lines) + "\n")
    return path
