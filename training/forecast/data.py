"""What the forecast recipe trains on: the built-in series or a user's CSV, ready to be drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.bundle.manifest import Source
from app.core.errors import DataError
from training.data.download import DataStore
from training.forecast.series import NUM_FREQUENCIES, PATHS, Series, built_in, built_in_frequencies
from training.forecast.series_csv import CsvLayout, frequencies_of, read_series
from training.recipe import file_source

_NAMED = 5
# Chance of drawing a window from each built-in data set. M4 is what the forecaster is judged by.
SHARES = {
    "m4-hourly": 0.35,
    "m4-weekly": 0.27,
    "etth1": 0.07,
    "beijing": 0.06,
    "exchange-rate": 0.06,
    "classic": 0.07,
    "seattle": 0.03,
    "exchange-rate-means": 0.03,
    "classic-means": 0.03,
    "etth1-means": 0.01,
    "beijing-means": 0.01,
    "seattle-means": 0.01,
}


@dataclass(frozen=True, slots=True)
class ForecastData:
    """Series ready to train on.

    Attributes:
        title: what the description calls them.
        series: all of them.
        weights: chance of drawing a window from each.
        frequencies: index, season, long season by code.
        num_frequencies: rows of the frequency embedding.
        sources: the files they came from.
        store: where the M4 test files are, for the built-in recipe; ``None`` for a user's CSV.
    """

    title: str
    series: tuple[Series, ...]
    weights: tuple[float, ...]
    frequencies: dict[str, tuple[int, int, int]]
    num_frequencies: int
    sources: tuple[Source, ...]
    store: DataStore | None


def load_built_in(data: Path | None) -> ForecastData:
    """The built-in series, each data set with its share."""
    store = DataStore.open(data)
    series = built_in(store)
    sources = tuple(store.source(path) for path in PATHS if "test" not in path)
    counts = Counter(item.dataset for item in series)
    weights = tuple(SHARES[item.dataset] / counts[item.dataset] for item in series)
    title = "M4 hourly and weekly, electricity, weather, exchange-rate and classic series"
    return ForecastData(
        title, tuple(series), weights, built_in_frequencies(), NUM_FREQUENCIES, sources, store
    )


def load_csv(path: Path, layout: CsvLayout, horizon: int) -> ForecastData:
    """The series of a user's CSV, each drawn in proportion to the root of its length.

    Raises:
        DataError: the file cannot be used; the message says why.
    """
    series = read_series(path, layout, horizon)
    if not any(np.isfinite(item.values[: item.train_end]).any() for item in series):
        raise no_values(series, 0, series[0].train_end, "train the network")
    kind = series[0].kind
    weights = tuple(float(np.sqrt(item.train_end)) for item in series)
    frequencies = frequencies_of(kind.frequency, layout.season)
    return ForecastData(path.name, tuple(series), weights, frequencies, 2, (file_source(path),), None)


def no_values(series: Sequence[Series], begin: int, end: int, purpose: str) -> DataError:
    """What to say of series that all lack values where some are needed, as in ``values[begin:end]``."""
    first = series[0]
    names = ", ".join(repr(item.id) for item in series[:_NAMED])
    more = f" and {len(series) - _NAMED} more" if len(series) > _NAMED else ""
    return DataError(
        f"{first.dataset}: series {names}{more} has no values in steps {begin + 1} to {end} of "
        f"{len(first.values)}, which {purpose}; cut the empty rows off the file, or name other columns "
        "with --target"
    )
