"""Forecasts by one model: each series is one sequence whose last step's quantiles are the answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.errors import InvalidInput, InvalidManifest, over_limit
from app.core.sequence import Read
from app.features.calendar import parse_timestamp, timestamps
from app.features.frequency import Frequency, parse_frequency
from app.features.series import COLUMNS, SeriesKind, encode, kind_for
from app.tasks.forecast.schema import (
    Forecast,
    ForecastAnswer,
    ForecastFromState,
    ForecastLimits,
    ForecastRequest,
    Series,
    SessionForecast,
    wanted_quantiles,
)
from app.tasks.forecast.session import ForecastSession
from app.tasks.forecast.spec import ForecastSpec, known_frequencies
from app.tasks.forecast.tensors import forecast_tensors
from app.tasks.model import Prepared, blocks_of
from app.tasks.session import SessionView

# A scale needs a difference, and a difference needs two observations.
MIN_OBSERVED = 2
# Answers keep this many digits of their largest number; float32 has no more to say.
_DIGITS = 8
# Most callers ask for the same few levels; others' weights are found anew.
_KEPT_LEVELS = 256


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedForecast(Prepared):
    """``levels`` ascend; ``timestamps`` are those of the steps ahead, where they are known."""

    horizon: int
    levels: tuple[float, ...]
    ids: list[str | None]
    timestamps: list[list[str] | None]


class ForecastModel:
    """See :class:`app.tasks.model.AnsweringModel`; raises InvalidManifest for a bundle that does not fit."""

    def __init__(self, bundle: Bundle, limits: ForecastLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(ForecastSpec)
        if spec.columns != COLUMNS:
            raise InvalidManifest(f"{manifest.reference} was made for other input columns; export it again")
        self._reference = manifest.reference
        self._limits = limits
        self._trained = np.array(spec.quantiles)
        self._known = known_frequencies(spec)
        self._weights = lru_cache(maxsize=_KEPT_LEVELS)(self._find_weights)
        self.session = ForecastSession(spec)
        self.tensors = forecast_tensors(self._reference, spec, self.prepare)
        self.inputs = {
            "quantiles": spec.quantiles,
            "frequencies": sorted(spec.frequencies),
            "window": spec.window,
        }
        self.limits = {
            "max_horizon": spec.horizon,
            "max_series": limits.max_series,
            "max_points": limits.max_points,
        }

    def milliseconds(self, request: ForecastRequest) -> float:
        """Reading a request takes longer than preparing it."""
        return 0.0

    def look(self, view: SessionView, request: ForecastFromState) -> SessionForecast:
        """What lies ahead of a session's last observation; raises as :meth:`prepare`."""
        if view.last is None:
            raise InvalidInput("id", f"session {view.id!r} has no observation yet; feed it at least one")
        levels = self._wanted(request)
        stamps = self._timestamps(*self.session.following(view.context), 0, request.horizon, "")
        forecast = self._forecast(request.horizon, levels, view.id, stamps, view.last)
        return SessionForecast.model_construct(model=view.model, step=view.step, forecast=forecast)

    def prepare(self, request: ForecastRequest) -> PreparedForecast:
        levels = self._wanted(request)
        series = request.all_series()
        self._check_size(series)
        steps: list[NDArray[np.generic]] = []
        ids: list[str | None] = []
        stamps: list[list[str] | None] = []
        for index, each in enumerate(series):
            prefix = "" if request.series is None else f"series.{index}."
            kind = self._kind(each, request.season, prefix)
            start = _start(each, kind.frequency, prefix)
            values = np.array(each.values, np.float64)
            observed = len(values) - int(np.count_nonzero(np.isnan(values)))
            if observed < MIN_OBSERVED:
                raise InvalidInput(
                    f"{prefix}values",
                    f"a forecast needs {MIN_OBSERVED} or more values that are not null, got {observed}",
                    allowed={"min_observed": MIN_OBSERVED},
                )
            stamps.append(self._timestamps(start, kind.frequency, len(values), request.horizon, prefix))
            steps.append(encode(values, start, kind))
            ids.append(each.id)
        blocks, members = blocks_of(steps, Read.LAST)
        return PreparedForecast(
            blocks=blocks,
            members=members,
            horizon=request.horizon,
            levels=levels,
            ids=ids,
            timestamps=stamps,
        )

    def finish(self, prepared: PreparedForecast, outputs: list[NDArray[np.float32]]) -> ForecastAnswer:
        """``outputs``: of each series the last step's quantiles, ``[1, horizon, levels]``."""
        forecasts: list[Forecast] = []
        for id, stamps, output in zip(prepared.ids, prepared.timestamps, outputs, strict=True):
            forecasts.append(self._forecast(prepared.horizon, prepared.levels, id, stamps, output[0]))
        return ForecastAnswer.made(model=self._reference, forecasts=forecasts)

    def _forecast(
        self,
        horizon: int,
        levels: tuple[float, ...],
        id: str | None,
        stamps: list[str] | None,
        quantiles: NDArray[np.float32],
    ) -> Forecast:
        names, weights = self._weights(levels)
        mean, *table = _round(quantiles[:horizon].astype(np.float64) @ weights).T.tolist()
        return Forecast.made(
            id=id, timestamps=stamps, mean=mean, quantiles=dict(zip(names, table, strict=True))
        )

    def _wanted(self, request: ForecastRequest | ForecastFromState) -> tuple[float, ...]:
        """The quantile levels of a request whose horizon and levels the model knows."""
        if request.horizon > self._spec.horizon:
            raise InvalidInput(
                "horizon",
                f"{self._reference} forecasts 1 to {self._spec.horizon} steps ahead, not {request.horizon}",
                allowed={"min": 1, "max": self._spec.horizon},
            )
        levels = wanted_quantiles(request)
        if levels is None:
            return self._spec.quantiles
        low, high = self._spec.quantiles[0], self._spec.quantiles[-1]
        if levels[0] < low or levels[-1] > high:
            widest = (1 - 2 * max(low, 1 - high)) * 100
            raise InvalidInput(
                "levels" if request.levels else "quantiles",
                f"{self._reference} knows quantiles from {low:g} to {high:g}, "
                f"that is intervals up to {widest:g} %",
                allowed={"max": widest} if request.levels else {"min": low, "max": high},
            )
        return levels

    def _find_weights(self, levels: tuple[float, ...]) -> tuple[list[str], NDArray[np.float64]]:
        """Names of the levels, and the weights ``[trained, 1 + levels]`` of the mean and of each."""
        interpolation = _interpolation(self._trained, np.array(levels))
        weights = np.concatenate([_mean_weights(self._trained)[:, None], interpolation], axis=1)
        return [f"{level:g}" for level in levels], weights

    def _check_size(self, series: list[Series]) -> None:
        most, most_points = self._limits.max_series, self._limits.max_points
        if len(series) > most:
            text = f"a request may hold at most {most} series, got {len(series)}"
            raise over_limit("series", most, text)
        points = 0
        for each in series:
            points += len(each.values)
        if points > most_points:
            text = f"a request may hold at most {most_points} observations in all, got {points}"
            raise over_limit("values", most_points, text)

    def _kind(self, series: Series, season: int | None, prefix: str) -> SeriesKind:
        if season is not None and season > self._spec.window:
            raise InvalidInput(
                "season",
                f"{self._reference} knows seasons of at most {self._spec.window} steps, not {season}",
                allowed={"min": 1, "max": self._spec.window},
            )
        if series.freq is None:
            return kind_for(None, self._known, season=season, window=self._spec.window)
        try:
            frequency = parse_frequency(series.freq)
        except InvalidInput as error:
            raise InvalidInput(f"{prefix}freq", error.message, allowed=error.allowed) from error
        return kind_for(frequency, self._known, season=season, window=self._spec.window)

    def _timestamps(
        self, start: datetime | None, frequency: Frequency | None, num: int, horizon: int, prefix: str
    ) -> list[str] | None:
        if start is None or frequency is None:
            return None
        try:
            return [moment.isoformat() for moment in timestamps(start, frequency, horizon, skip=num)]
        except OverflowError as error:
            raise InvalidInput(
                f"{prefix}start", "the forecast would leave the calendar (years 1 to 9999)"
            ) from error


def _start(series: Series, frequency: Frequency | None, prefix: str) -> datetime | None:
    if series.start is None:
        return None
    if frequency is None:
        raise InvalidInput(f"{prefix}freq", "start needs freq as well, such as h, D, W or MS")
    try:
        return parse_timestamp(series.start)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{prefix}start", "start is not an ISO 8601 date or time, such as 2024-01-31 or 2024-01-31T13:00"
        ) from error


def _interpolation(trained: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights ``[trained, wanted]`` that interpolate quantiles linearly in the normal score.

    Between two trained levels a quantile function is closer to straight against the normal
    score than against the level; the weights are monotone, so quantiles cannot cross.
    """
    normal = NormalDist()
    known = np.array([normal.inv_cdf(level) for level in trained])
    asked = np.array([normal.inv_cdf(level) for level in wanted])
    if len(trained) == 1:
        return np.ones((1, len(wanted)))
    right = np.clip(np.searchsorted(trained, wanted), 1, len(trained) - 1)
    weights = np.zeros((len(trained), len(wanted)))
    columns = np.arange(len(wanted))
    # Exactly 0 or 1 at a trained level.
    share = (asked - known[right - 1]) / (known[right] - known[right - 1])
    weights[right, columns] = share
    weights[right - 1, columns] = 1.0 - share
    return weights


def _mean_weights(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the quantiles in the mean: the integral of the piecewise linear quantile function.

    Beyond the outermost levels the function is taken as flat, so heavy tails count less.
    """
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(edges)


def _round(table: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = max(float(np.maximum.reduce(table, axis=None)), -float(np.minimum.reduce(table, axis=None)))
    if largest == 0.0:
        return table
    decimals = _DIGITS - 1 - math.floor(math.log10(largest))
    return table.round(decimals) if -300 < decimals < 300 else table
