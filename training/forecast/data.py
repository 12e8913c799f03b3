"""What the forecast recipe trains on: the built-in series or a user's CSV, ready to be drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.bundle.manifest import Source
from app.core.errors import DataError
from app.features.series import NO_FREQUENCY
from app.tasks.forecast.covariate_spec import CovariateSpec
from app.tasks.forecast.spec import known_frequencies
from training.data.download import DataStore
from training.forecast.kinds import NUM_FREQUENCIES, built_in_frequencies
from training.forecast.library import PATHS, TESTED, built_in
from training.forecast.series import Series
from training.forecast.series_csv import CsvLayout, frequencies_of, read_series
from training.forecast.warm import Start
from training.recipe import file_source

_NAMED = 5
# Chance of drawing a window from each built-in data set; what is not named shares the rest by its series.
SHARES = {
    "m4-hourly": 0.45,
    "m4-weekly": 0.12,
    "etth1": 0.04,
    "beijing": 0.03,
    "exchange-rate": 0.02,
    "classic": 0.03,
    "seattle": 0.01,
    "m1-yearly": 0.05,
    "m1-quarterly": 0.06,
    "m1-monthly": 0.11,
    "fpp-global_economy": 0.06,
    "fpp-parts": 0.02,
    "fpp-PBS": 0.05,
    "fpp-aus_retail": 0.04,
    "fpp-tourism_tsibble": 0.03,
}
_REST = 0.01


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
        covariates: of all series, if there are any.
    """

    title: str
    series: tuple[Series, ...]
    weights: tuple[float, ...]
    frequencies: dict[str, tuple[int, int, int]]
    num_frequencies: int
    sources: tuple[Source, ...]
    store: DataStore | None
    covariates: CovariateSpec | None = None


def load_built_in(data: Path | None) -> ForecastData:
    """The built-in series, each data set with its share."""
    store = DataStore.open(data)
    series = built_in(store)
    sources = tuple(store.source(path) for path in PATHS if path not in TESTED)
    counts = Counter(item.dataset for item in series if item.trained)
    shares = {name: SHARES.get(name, _REST * min(2.0, counts[name] ** 0.5 / 10.0)) for name in counts}
    weights = tuple(shares[item.dataset] / counts[item.dataset] if item.trained else 0.0 for item in series)
    title = "the M1 and parts of the M4 competition, textbook, weather, electricity and made-up series"
    return ForecastData(
        title, tuple(series), weights, built_in_frequencies(), NUM_FREQUENCIES, sources, store
    )


def load_csv(
    path: Path,
    layout: CsvLayout,
    horizon: int,
    start: Start | None = None,
) -> ForecastData:
    """The series of a user's CSV, each drawn in proportion to the root of its length.

    Args:
        path: the file.
        layout: which columns mean what.
        horizon: steps ahead.
        start: what the network starts from, whose frequencies and covariates it keeps.

    Raises:
        DataError: the file cannot be used; the message says why.
    """
    known = None if start is None else known_frequencies(start.spec)
    kept = None if start is None else start.covariates_for(layout)
    series, covariates = read_series(path, layout, horizon, known, kept)
    if not any(np.isfinite(item.values[: item.train_end]).any() for item in series):
        raise no_values(series, 0, series[0].train_end, "train the network")
    kind = series[0].kind
    weights = tuple(float(np.sqrt(item.train_end)) for item in series)
    entry = (kind.index, kind.season, kind.long_season)
    if known is None:
        frequencies, rows = frequencies_of(kind.frequency, layout.season), 2
    else:
        frequencies, rows = {**known, NO_FREQUENCY: entry}, 1 + max(index for index, *_ in known.values())
        if kind.frequency is not None:
            frequencies[kind.frequency.code] = entry
    sources = (file_source(path),)
    return ForecastData(path.name, tuple(series), weights, frequencies, rows, sources, None, covariates)


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
