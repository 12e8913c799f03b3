"""The user's own CSV as series, read as the server reads it, and split in time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DataError, InvalidInput
from app.features.columns import Bounds, Column, ReadSeries, read_columns
from app.features.frequency import Frequency
from app.features.layout import Layout
from app.features.series import NO_FREQUENCY, SeriesKind, kind_for
from app.features.table import read_table
from app.tasks.forecast.covariate_spec import CovariateSpec
from training.forecast.covariates import fit_covariates, told_of
from training.forecast.look_back import WINDOW
from training.forecast.series import Series

logger = logging.getLogger(__name__)

# Sums of larger values would leave float32. The numbers of series and values are bounded by memory alone.
_BOUNDS = Bounds(largest=1e30, max_series=10**9, max_points=10**12)
# Steps ahead where the user names none and the series are long enough.
_USUAL_HORIZON = 24

# What a complaint may be about besides a column.
_PARAMETERS = frozenset({"body", "time", "id", "targets", "freq", "future", "past", "static"})


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """Which columns mean what, and the season.

    Attributes:
        columns: as the server takes them.
        season: seasonal length in steps instead of the frequency's usual one.
        holidays: the country, or the part of one, whose holidays are read too.
    """

    columns: Layout = field(default_factory=Layout)
    season: int | None = None
    holidays: str | None = None


def read_series(
    path: Path,
    layout: CsvLayout,
    horizon: int,
    known: Mapping[str, tuple[int, int, int]] | None = None,
    covariates: CovariateSpec | None = None,
) -> tuple[list[Series], CovariateSpec | None]:
    """Read and split every series of a CSV.

    The last tenth of a series, at least one horizon, is the test part; as much before it is
    validation. Missing steps of a series with times are put back as missing values. What had to be guessed
    or left out is logged.

    Args:
        path: the file, with a header.
        layout: which columns mean what.
        horizon: steps ahead the model will predict.
        known: frequencies that the network knows already; left out, the file's is its only one.
        covariates: what they are measured in; left out, told by the training parts.

    Returns:
        At least one series, and their covariates, if there are any.

    Raises:
        DataError: a column is missing, a cell cannot be read, or no series is long enough.
    """
    found = _read(path, layout)
    for name, note in found.notes.items():
        logger.warning("%s, %s: %s", path.name, name, note)
    columns, frequency = found.columns, found.frequency
    known = frequencies_of(frequency, layout.season) if known is None else known
    kind = kind_for(frequency, known, season=layout.season, window=WINDOW)
    split = [(column, _split(path, column, kind, horizon)) for column in columns]
    kept = [(column, item) for column, item in split if item is not None]
    if not kept:
        longest = max(len(column.values) for column in columns)
        raise DataError(
            f"no series of {path.name} is long enough for a horizon of {horizon}: "
            f"{minimum_length(horizon)} steps are needed, the longest has {longest}"
        )
    if covariates is None:
        used = [column for column, _ in kept]
        ends = [item.train_end for _, item in kept]
        covariates = fit_covariates(used, ends, layout.holidays, frequency)
    if covariates is None:
        return [item for _, item in kept], None
    return [replace(item, told=told_of(column, covariates, frequency)) for column, item in kept], covariates


def frequencies_of(frequency: Frequency | None, season: int | None) -> dict[str, tuple[int, int, int]]:
    """Index and seasons of the only frequency a model of one CSV is trained on.

    A request that does not tell its frequency is taken to have the same.
    """
    kind = kind_for(frequency, {}, season=season)
    entry = (1, kind.season, kind.long_season)
    return {NO_FREQUENCY: entry} if frequency is None else {frequency.code: entry, NO_FREQUENCY: entry}


def fitting_horizon(path: Path, layout: CsvLayout) -> int:
    """So many steps ahead as are usual, or as leave two thirds of the longest series to train on.

    Raises:
        DataError: as :func:`read_series`.
    """
    length = max(len(column.values) for column in _read(path, layout).columns)
    return max(1, min(_USUAL_HORIZON, length // 6))


def _read(path: Path, layout: CsvLayout) -> ReadSeries:
    if layout.season is not None and not 1 <= layout.season <= WINDOW:
        raise DataError(f"season is {layout.season}; it must be 1 to {WINDOW} steps")
    try:
        found = read_columns(read_table(path.read_bytes()), layout.columns, _BOUNDS)
    except OSError as error:
        raise DataError(f"cannot read {path.name!r}: {error.strerror}") from error
    except InvalidInput as error:
        where = "" if error.field in _PARAMETERS else f"column {error.field!r}, "
        known = f"; allowed: {', '.join(error.allowed)}" if isinstance(error.allowed, list) else ""
        raise DataError(f"cannot read {path.name!r}: {where}{error.message}{known}") from error
    if layout.columns.future:
        # Behind the last value stands what is known ahead.
        for column in found.columns:
            column.values = column.values[: column.observed]
    return found


def minimum_length(horizon: int) -> int:
    """Steps a series needs to be split in three."""
    return 2 * horizon + max(horizon, 8)


def _split(path: Path, column: Column, kind: SeriesKind, horizon: int) -> Series | None:
    values: NDArray[np.float64] = column.values
    length = len(values)
    if length < minimum_length(horizon) or not np.isfinite(values).any():
        return None
    part = max(horizon, min(length // 10, 50 * horizon))
    part = min(part, (length - max(horizon, 8)) // 2)
    return Series(
        column.name, path.name, values, column.start, kind, length - 2 * part, length - part, relative=True
    )
