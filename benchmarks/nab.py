"""The Numenta Anomaly Benchmark's files and windows, and detections scored by them.

The score is like NAB's (Lavin & Ahmad 2015, standard profile): a window counts by its first detection, more
the earlier it comes; a detection outside costs 0.11 of one, less just behind a window; a missed window costs
one. 0 is to detect nothing, 100 all windows at their first value and nothing else. It differs from NAB's in
what is detected: events, which are counted once, where NAB counts each value above a threshold. The series
of traffic are not among the files, so it is no entry of NAB's own table either.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = "forecasting/nab"
_COST = 0.11
# Of each file, in which nothing is scored: so that a detector learns what is usual.
_PROBATION = 0.15
_MOST_PROBATION = 750
_FREQUENCIES = {300: "5min", 1800: "30min", 3600: "h"}


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file of the benchmark; ``windows`` are rows, the last one included."""

    name: str
    values: list[float]
    freq: str
    windows: list[tuple[int, int]]

    @property
    def first(self) -> int:
        """The first row that is scored."""
        return min(int(_PROBATION * len(self.values)), _MOST_PROBATION)


@dataclass(frozen=True, slots=True)
class Result:
    """``recall``: share of the windows with a detection; ``precision``: of the detections inside of one."""

    recall: float
    precision: float
    score: float
    false_per_thousand: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0


def read_files(data: Path) -> list[File]:
    """All of them; the frequency is that of most rows."""
    folder = data / FOLDER
    windows = json.loads((folder / "combined_windows.json").read_text())
    files = []
    with zipfile.ZipFile(folder / "nab_data_51.zip") as archive:
        for name in sorted(one for one in archive.namelist() if one.endswith(".csv")):
            _, *rows = csv.reader(io.StringIO(archive.read(name).decode()))
            times = [datetime.fromisoformat(time) for time, _ in rows]
            steps = sorted(later - earlier for earlier, later in pairwise(times))
            seconds = round(steps[len(steps) // 2].total_seconds())
            short = name.removeprefix("data/")
            found = [_rows(times, *window) for window in windows.get(short, [])]
            files.append(File(short, [float(value) for _, value in rows], _FREQUENCIES[seconds], found))
    return files


def _rows(times: Sequence[datetime], start: str, end: str) -> tuple[int, int]:
    first, last = (datetime.fromisoformat(text[:19]) for text in (start, end))
    inside = [row for row, time in enumerate(times) if first <= time <= last]
    return inside[0], inside[-1]


def onsets(alarms: NDArray[np.bool_], gap: int) -> NDArray[np.intp]:
    """The first alarms of events: those with none in the ``gap`` steps before."""
    places = np.flatnonzero(alarms)
    if not len(places):
        return places
    first = np.concatenate([[True], np.diff(places) > gap])
    kept: NDArray[np.intp] = places[first]
    return kept


def score(files: Iterable[File], detections: Iterable[NDArray[np.intp]]) -> Result:
    """Of detections by row, for each file; those in its probation are left out."""
    found = missed = outside = rows = 0
    total = 0.0
    for file, places in zip(files, detections, strict=True):
        rows += len(file.values) - file.first
        places = places[places >= file.first]
        inside = np.zeros(len(places), bool)
        for first, last in file.windows:
            here = (places >= first) & (places <= last)
            inside |= here
            if not here.any():
                missed += 1
                total -= 1
                continue
            found += 1
            left = last - int(places[here][0]) + 1
            total += _sigmoid(-left / (last - first + 1)) / _sigmoid(-1.0)
        for place in places[~inside]:
            outside += 1
            total += _COST * _behind(file.windows, int(place))
    windows = found + missed
    return Result(
        found / windows,
        found / (found + outside) if found else 0.0,
        100 * (total + windows) / (2 * windows),
        1000 * outside / rows,
    )


def _behind(windows: Sequence[tuple[int, int]], place: int) -> float:
    """What a detection outside costs, -1 to 0: less, the less it lies behind a window."""
    before = [window for window in windows if window[1] < place]
    if not before:
        return -1.0
    first, last = before[-1]
    return _sigmoid(min((place - last) / max(last - first, 1), 3.0))


def _sigmoid(place: float) -> float:
    """1 far before, 0 at the end of a window, -1 far behind."""
    return 2 / (1 + math.exp(5 * place)) - 1


def rolling_z(values: Sequence[float], window: int, least: int = 10) -> NDArray[np.float64]:
    """How many standard deviations of the ``window`` values before it each value lies from their mean."""
    numbers = np.array(values)
    sums, squares = (np.concatenate([[0.0], np.cumsum(one)]) for one in (numbers, numbers**2))
    place = np.arange(len(numbers))
    first = np.maximum(place - window, 0)
    count = np.maximum(place - first, 1)
    mean = (sums[place] - sums[first]) / count
    deviation = np.sqrt(np.maximum((squares[place] - squares[first]) / count - mean**2, 0.0))
    constant = deviation <= 1e-9 * np.maximum(np.abs(mean), 1.0)
    off = np.abs(numbers - mean)
    scores = np.where(constant, np.where(off > 1e-9 * np.maximum(np.abs(mean), 1.0), np.inf, 0.0), 0.0)
    np.divide(off, deviation, out=scores, where=~constant)
    scores[:least] = 0.0
    return scores
