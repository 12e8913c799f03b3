"""The series of a request, ready to be forecast: their kinds, told or found, and what bounds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput, over_limit
from app.features.calendar import parse_timestamp, timestamps
from app.features.frequency import Frequency, parse_frequency
from app.features.series import NUM_COLUMNS, SeriesKind, encode, kind_for
from app.tasks.forecast.covariate_spec import Told
from app.tasks.forecast.covariates import Covariates
from app.tasks.forecast.schema import NOT_TOLD, NOTHING, ForecastLimits, Given, Series, SeriesInput
from app.tasks.forecast.season import MIN_VALUES, find_season
from app.tasks.forecast.seen import Seen
from app.tasks.forecast.spec import ForecastSpec, known_frequencies

# A scale needs a difference, and a difference needs two observations.
MIN_OBSERVED = 2
_VALUES_PER_MS = 5_000
# Steps ahead of a series without a season, where a request does not say how many.
DEFAULT_HORIZON = 12


@dataclass(slots=True, eq=False)
class History:
    """One series ``[time]``, NaN where missing; ``low`` and ``high`` bound what is possible, where known.

    ``covariates`` are as they were given; ``told`` as a network reads them that was ``trained`` for so many
    steps ahead. ``has_covariates`` where some were given, or the network reads some. ``steps`` are its input.
    """

    id: str | None
    prefix: str
    values: NDArray[np.float64]
    start: datetime | None
    kind: SeriesKind
    seen: Seen
    low: float | None
    high: float | None
    covariates: Given = NOTHING
    has_covariates: bool = False
    steps: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, NUM_COLUMNS), np.float32))
    told: Told | None = None
    trained: int = 0

    def steps_ahead(self, first: int, num: int) -> NDArray[np.float32]:
        """Of ``num`` steps from the ``first`` one ahead on, as input whose values are zeros."""
        skip = len(self.values) + first
        x = encode(np.zeros(num), self.start, self.kind, skip=skip)
        return x if self.told is None else self.told.widened(x, self.trained, skip)

    def bounded(self, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.low is None and self.high is None:
            return quantiles
        return np.clip(quantiles, self.low, self.high)

    def timestamps(self, first: int, num: int) -> list[str] | None:
        """Of ``num`` steps from the ``first`` one on, where times are known; raises InvalidInput."""
        return timestamps_of(self.start, self.kind.frequency, first, num, self.prefix)


class Asked(Protocol):
    """What every request about series has."""

    @property
    def season(self) -> list[int] | None: ...
    @property
    def freq(self) -> str | None: ...
    @property
    def values(self) -> list[float | None] | None: ...
    @property
    def series(self) -> list[SeriesInput] | None: ...
    def all_series(self) -> list[Series]: ...


class HistoryReader:
    """For the forecaster ``name@version``."""

    def __init__(self, reference: str, spec: ForecastSpec, limits: ForecastLimits) -> None:
        self._reference = reference
        self._spec = spec
        self._limits = limits
        self._known = known_frequencies(spec)
        # Of a step with many covariates there may be as many less as it is wider.
        self.max_points, self.max_fed = (
            most * NUM_COLUMNS // len(spec.columns) for most in (limits.max_points, limits.max_sampled_values)
        )
        self.covariates = Covariates(reference, spec.covariates)
        self._long_seasons = tuple(
            {(short, long) for _, short, long in self._known.values() if 1 < short < long <= spec.window}
        )

    def milliseconds(self, request: Asked) -> float:
        """About how long it takes to make them ready; most of it to find the seasons that are not told."""
        if request.series is None:
            return len(request.values or ()) // _VALUES_PER_MS
        told = request.season is not None or request.freq is not None
        unknown = 0 if told else sum(each.freq is None for each in request.series)
        return 0.03 * len(request.series) + 0.3 * unknown

    def read(self, request: Asked, known: Callable[[int], int] | None = None) -> list[History]:
        """The series of a request. ``known``: of so many values, how many may tell of the series.

        Raises:
            InvalidInput: there are too many, or one cannot be forecast by this model.
        """
        series = request.all_series()
        most, most_points = self._limits.max_series, self.max_points
        if len(series) > most:
            text = f"a request may hold at most {most} series, got {len(series)}"
            raise over_limit("series", most, text)
        points = 0
        for each in series:
            points += len(each.values)
        if points > most_points:
            text = f"a request may hold at most {most_points} observations in all, got {points}"
            raise over_limit("values", most_points, text)
        seasons = () if request.season is None else self._seasons(request.season)
        histories: list[History] = []
        for index, each in enumerate(series):
            prefix = "" if request.series is None else f"series.{index}."
            length = len(each.values)
            histories.append(self._history(each, seasons, prefix, length if known is None else known(length)))
        return histories

    def tell(self, histories: list[History], ahead: int = 0) -> None:
        """Give the series their covariates, for forecasts of so many steps; raises InvalidInput."""
        for each in histories:
            if not each.has_covariates:
                continue
            num, frequency = len(each.values), each.kind.frequency
            each.trained = self._spec.horizon
            each.told = self.covariates.told(each.covariates, num, ahead, each.start, frequency, each.prefix)
            if each.told is not None:
                each.steps = each.told.widened(each.steps, each.trained, 0)

    def horizon(self, histories: list[History]) -> int:
        """So many steps ahead as are told of in advance, or the longest default of the series."""
        told = [self.covariates.covered(each.covariates, len(each.values)) for each in histories]
        covered = [steps for steps in told if steps is not None]
        return max(min(covered), 1) if covered else max(self.default_horizon(each.kind) for each in histories)

    def default_horizon(self, kind: SeriesKind) -> int:
        """Two seasons, or a dozen steps where there is none; no more than the model was trained for."""
        steps = 2 * kind.season if kind.season > 1 else DEFAULT_HORIZON
        return min(steps, self._spec.horizon)

    def _history(self, series: Series, seasons: tuple[int, ...], prefix: str, known: int) -> History:
        values = np.array(series.values, np.float64)
        told = values[:known]
        seen = Seen.of(told)
        if seen.values < MIN_OBSERVED:
            raise InvalidInput(
                f"{prefix}values",
                f"a forecast needs {MIN_OBSERVED} or more values that are not null"
                f"{' before it' if len(told) < len(values) else ''}, got {seen.values}",
                allowed={"min_observed": MIN_OBSERVED},
            )
        kind = self._kind(series, seasons, told, prefix)
        start = None if series.start is None else _start(series.start, kind.frequency, prefix)
        low, high = bounds(series.min, series.max, seen, prefix)
        given = series.covariates
        some = given is not NOTHING or self.covariates.spec is not None
        steps = encode(values, start, kind)
        return History(series.id, prefix, values, start, kind, seen, low, high, given, some, steps)

    def _kind(
        self, series: Series, seasons: tuple[int, ...], values: NDArray[np.float64], prefix: str
    ) -> SeriesKind:
        frequency, window = None, self._spec.window
        if series.freq is not None:
            try:
                frequency = parse_frequency(series.freq)
            except InvalidInput as error:
                raise InvalidInput(f"{prefix}freq", error.message, allowed=error.allowed) from error
        if seasons:
            long = (*seasons[1:], None)[0]
            return kind_for(frequency, self._known, season=seasons[0], long_season=long, window=window)
        kind = kind_for(frequency, self._known, window=window)
        if kind.long_season > 1 or (frequency is not None and frequency.code in self._known):
            return kind
        found = None
        if len(values) >= MIN_VALUES:
            found = find_season(values, self._spec.window, self._long_seasons)
        return kind if found is None else replace(kind, season=found[0], long_season=found[1])

    def _seasons(self, asked: list[int]) -> tuple[int, ...]:
        """The season and the long season that were asked for, ascending."""
        most = self._spec.window
        for season in asked:
            if season > most:
                raise InvalidInput(
                    "season",
                    f"{self._reference} knows seasons of at most {most} steps, not {season}",
                    allowed={"min": 1, "max": most},
                )
        return tuple(sorted(asked))


def timestamps_of(
    start: datetime | None, frequency: Frequency | None, first: int, num: int, prefix: str = ""
) -> list[str] | None:
    if start is None or frequency is None:
        return None
    try:
        return list(_stamps(start, start.utcoffset(), frequency, first, num))
    except OverflowError as error:
        raise InvalidInput(
            f"{prefix}start", "the forecast would leave the calendar (years 1 to 9999)"
        ) from error


@lru_cache(maxsize=64)
def _stamps(
    start: datetime, offset: timedelta | None, frequency: Frequency, first: int, num: int
) -> tuple[str, ...]:
    """Series of a table share them. Moments that are equal may be written with different offsets."""
    return tuple(moment.isoformat() for moment in timestamps(start, frequency, num, skip=first))


def bounds(
    told_low: float | None, told_high: float | None, seen: Seen, prefix: str = ""
) -> tuple[float | None, float | None]:
    """What was told, or what the values so far say; raises InvalidInput."""
    low = told_low
    if low is NOT_TOLD:
        low = seen.low if told_high is None or told_high >= 0 else None
    if low is not None and told_high is not None and low > told_high:
        raise InvalidInput(
            f"{prefix}min",
            f"min is {low:g} and max is {told_high:g}; min may not be above max",
            allowed={"max": told_high},
        )
    return low, told_high


def _start(start: str, frequency: Frequency | None, prefix: str) -> datetime:
    if frequency is None:
        raise InvalidInput(f"{prefix}freq", "start needs freq as well, such as h, D, W or MS")
    try:
        return parse_timestamp(start)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{prefix}start", "start is not an ISO 8601 date or time, such as 2024-01-31 or 2024-01-31T13:00"
        ) from error
