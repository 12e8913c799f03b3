"""The covariates of a user's series: what they are measured in, and the days of a region's holidays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from app.core.errors import DataError, InvalidInput, TrainingError
from app.features.calendar import advance
from app.features.columns import Column
from app.features.frequency import Frequency
from app.tasks.forecast.covariate_spec import (
    CovariateReader,
    CovariateSpec,
    Holidays,
    Scaled,
    Told,
    Words,
    fit_scaled,
)

# More words of a static covariate are names of single series, which teach nothing about others.
MOST_WORDS = 64
# Years of holidays that a bundle knows before and behind those of its series.
_BEFORE, _BEHIND = 10, 25


def fit_covariates(
    columns: Sequence[Column],
    ends: Sequence[int],
    region: str | None,
    frequency: Frequency | None,
) -> CovariateSpec | None:
    """What the covariates of series are measured in, by their training parts.

    Args:
        columns: the series, which all have the same covariates.
        ends: where the training part of each ends.
        region: whose holidays, as in ``DE`` or ``AU-VIC``.
        frequency: of the series.

    Raises:
        TrainingError: a covariate cannot be used; the message says why.
    """
    first = columns[0]
    if not (first.future or first.past or first.static or region):
        return None

    def scaled(parts: Sequence[dict[str, NDArray[np.float64]]]) -> list[Scaled]:
        found = []
        for name in parts[0]:
            values = [part[name][:end] for part, end in zip(parts, ends, strict=True)]
            if not any(np.isfinite(each).any() for each in values):
                raise DataError(f"covariate {name!r} has no values in the training parts")
            found.append(fit_scaled(name, values))
        return found

    static = []
    for name in first.static:
        words = sorted({word for each in columns if (word := each.static[name]) is not None})
        if not 1 <= len(words) <= MOST_WORDS:
            raise DataError(
                f"static covariate {name!r} has {len(words)} different values; 1 to {MOST_WORDS} can be used"
            )
        static.append(Words(name=name, values=tuple(words)))
    return CovariateSpec(
        future=tuple(scaled([each.future for each in columns])),
        past=tuple(scaled([each.past for each in columns])),
        static=tuple(static),
        holidays=None if region is None else _holidays(region, columns, frequency),
    )


def told_of(column: Column, spec: CovariateSpec, frequency: Frequency | None) -> Told:
    """The covariates of a series; raises DataError for words that the spec does not know."""
    reader, num = CovariateReader(spec), len(column.values)
    days = None
    if spec.holidays is not None:
        start = _start(column, frequency)
        longest = max([num, *map(len, column.future.values())])
        try:
            days = reader.holidays(*start, longest)
        except InvalidInput as error:
            raise DataError(error.message) from error
    words = [column.static[each.name] for each in spec.static]
    for each, word in zip(spec.static, words, strict=True):
        if word is not None and word not in each.values:
            raise DataError(f"{each.name} {word!r} is not known; known are {', '.join(each.values)}")
    future = [column.future[each.name] for each in spec.future]
    past = [column.past[each.name][:num] for each in spec.past]
    return reader.read(num, future, past, words, days)


def _start(column: Column, frequency: Frequency | None) -> tuple[datetime, Frequency]:
    if column.start is None or frequency is None:
        raise DataError("--holidays needs a column of times, which tells the days")
    return column.start, frequency


def _holidays(region: str, columns: Sequence[Column], frequency: Frequency | None) -> Holidays:
    """Of a country or, behind a dash, of a part of it."""
    try:
        import holidays
    except ImportError as error:
        raise TrainingError(
            "--holidays needs the package holidays, which the extra training of this package brings"
        ) from error
    starts = [_start(column, frequency) for column in columns]
    ends = [advance(*start, len(column.values)) for start, column in zip(starts, columns, strict=True)]
    first, last = min(start.year for start, _ in starts) - _BEFORE, max(end.year for end in ends) + _BEHIND
    years = range(max(first, date.min.year), min(last, date.max.year) + 1)
    country, _, part = region.partition("-")
    try:
        days = sorted(holidays.country_holidays(country, subdiv=part or None, years=years))
    except NotImplementedError as error:
        raise TrainingError(
            f"holidays is {region!r}; give a country such as DE, or a part of one such as AU-VIC ({error})"
        ) from error
    if not days:
        raise TrainingError(f"no holidays of {region!r} are known for {years[0]} to {years[-1]}")
    return Holidays(region=region, dates=tuple(days))
