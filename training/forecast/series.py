"""The built-in time series: files in, ``Series`` with chronological splits out.

Each series carries where its training, validation and test parts end, so that no caller has to
know a data set's custom. The official M4 test files are read by ``m4_test`` alone.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DataError
from app.features.calendar import advance
from app.features.series import SeriesKind, encode
from app.tasks.forecast.covariate_spec import Told
from training.forecast.kinds import BUSINESS, DAILY, HOURLY, MONTHLY, WEEKLY

# Every file of the built-in recipe, the M4 test files included.
PATHS: tuple[str, ...] = (
    *(
        f"forecasting/m4/{group}-{part}.csv.gz"
        for group in ("Hourly", "Weekly")
        for part in ("train", "test")
    ),
    "forecasting/ett/ETTh1.csv.gz",
    "forecasting/classic/airline-passengers.csv",
    "forecasting/classic/monthly-sunspots.csv",
    "forecasting/classic/monthly-shampoo-sales.csv",
    "forecasting/classic/co2-concentration.csv",
    "forecasting/classic/daily-min-temperatures.csv",
    "forecasting/classic/daily-total-female-births.csv",
    "forecasting/weather/pollution.csv.gz",
    "forecasting/weather/seattle-weather.csv",
    "forecasting/exchange_rate/exchange_rate.txt.gz",
)

M4_HORIZON = {"Hourly": 48, "Weekly": 13}


@dataclass(frozen=True, slots=True)
class Series:
    """One series and how it is split.

    Args:
        id: unique within ``dataset``.
        dataset: which data set it belongs to.
        values: ``[time]`` float64, NaN where missing.
        start: timestamp of the first value, when known.
        kind: frequency and seasons.
        train_end, validation_end: training is ``values[:train_end]``, validation goes on to
            ``validation_end``, and what follows is the test part.
        relative: whether relative errors count in training. M4 is judged by them; of temperatures, whose
            zero means nothing, they say nothing.
        trained: whether the network may be trained on it at all.
        told: its covariates, for a network that reads some.
    """

    id: str
    dataset: str
    values: NDArray[np.float64]
    start: datetime | None
    kind: SeriesKind
    train_end: int
    validation_end: int
    relative: bool = False
    trained: bool = True
    told: Told | None = None

    def steps(self, begin: int, end: int, horizon: int) -> NDArray[np.float32]:
        """``values[begin:end]`` as input of a network that forecasts so many steps ahead."""
        start = None
        if self.start is not None and self.kind.frequency is not None:
            start = advance(self.start, self.kind.frequency, begin)
        x = encode(self.values[begin:end], start, self.kind)
        return x if self.told is None else self.told.widened(x, horizon, begin)


class Files(Protocol):
    """Where the built-in data files are; see ``training.data.download.DataStore``."""

    def file(self, path: str) -> Path:
        """A local copy of a file of the catalogue."""


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file, gzipped or not.

    Raises:
        DataError: the file is missing or is not UTF-8 text.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path.name}: {error}") from error
    return [row for row in csv.reader(io.StringIO(text)) if row]


def _numbers(cells: Iterable[str]) -> NDArray[np.float64]:
    return np.array([np.nan if cell in ("", "NA") else float(cell) for cell in cells])


def m4(files: Files, group: str) -> list[Series]:
    """The M4 training file of ``Hourly`` or ``Weekly``; its last horizon is validation.

    Source: Makridakis et al. 2020, "The M4 Competition".
    """
    kind = {"Hourly": HOURLY, "Weekly": WEEKLY}[group]
    series = []
    for row in read_rows(files.file(f"forecasting/m4/{group}-train.csv.gz"))[1:]:
        values = _numbers(cell for cell in row[1:] if cell)
        end = len(values) - M4_HORIZON[group]
        series.append(Series(row[0], f"m4-{group.lower()}", values, None, kind, end, len(values), True))
    return series


def m4_test(files: Files, group: str) -> dict[str, NDArray[np.float64]]:
    """The official M4 test values by series id. For evaluation only."""
    rows = read_rows(files.file(f"forecasting/m4/{group}-test.csv.gz"))[1:]
    return {row[0]: _numbers(cell for cell in row[1:] if cell) for row in rows}


def etth1(files: Files) -> list[Series]:
    """The seven columns of ETTh1, 12/4/4 months of 30 days (Zhou et al. 2021); the tail is unused."""
    header, *rows = read_rows(files.file("forecasting/ett/ETTh1.csv.gz"))
    start = datetime(2016, 7, 1)
    return [
        Series(name, "etth1", _numbers(row[1 + j] for row in rows)[:14400], start, HOURLY, 8640, 11520)
        for j, name in enumerate(header[1:])
    ]


def classic(files: Files) -> list[Series]:
    """Small univariate series, first 67 % for training as in the usual tutorials."""
    parts = (
        ("airline-passengers", 1, datetime(1949, 1, 1), MONTHLY),
        ("monthly-sunspots", 1, datetime(1749, 1, 1), MONTHLY),
        ("monthly-shampoo-sales", 1, None, MONTHLY),
        ("co2-concentration", 1, datetime(1958, 3, 1), MONTHLY),
        ("daily-min-temperatures", 1, datetime(1981, 1, 1), DAILY),
        ("daily-total-female-births", 1, datetime(1959, 1, 1), DAILY),
    )
    series = []
    for name, column, start, kind in parts:
        rows = read_rows(files.file(f"forecasting/classic/{name}.csv"))[1:]
        series.append(_tutorial(name, "classic", _numbers(row[column] for row in rows), start, kind))
    return series


def weather(files: Files) -> list[Series]:
    """Beijing pollution and meteorology (first 8,760 h for training), Seattle daily weather (67 %)."""
    series = []
    rows = read_rows(files.file("forecasting/weather/pollution.csv.gz"))[1:]
    for name, column in (("pm2.5", 5), ("dew-point", 6), ("temperature", 7), ("pressure", 8), ("wind", 10)):
        values = _numbers(row[column] for row in rows)
        series.append(Series(name, "beijing", values, datetime(2010, 1, 1), HOURLY, 7884, 8760))
    header, *rows = read_rows(files.file("forecasting/weather/seattle-weather.csv"))
    for column in range(1, 5):
        values = _numbers(row[column] for row in rows)
        series.append(_tutorial(header[column], "seattle", values, datetime(2012, 1, 1), DAILY))
    return series


def exchange_rate(files: Files) -> list[Series]:
    """Daily rates of eight countries, 60/20/20 % (Lai et al. 2018); the file has no dates."""
    rows = read_rows(files.file("forecasting/exchange_rate/exchange_rate.txt.gz"))
    ends = int(0.6 * len(rows)), int(0.8 * len(rows))
    return [
        Series(f"country-{j}", "exchange-rate", _numbers(row[j] for row in rows), None, BUSINESS, *ends)
        for j in range(len(rows[0]))
    ]


def _tutorial(
    name: str, dataset: str, values: NDArray[np.float64], start: datetime | None, kind: SeriesKind
) -> Series:
    end = int(0.67 * len(values))
    return Series(name, dataset, values, start, kind, end - max(12, end // 10), end)
