"""Forecasts by one model: each series is one sequence whose last step's quantiles are the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.reader import Bundle
from app.core.errors import InvalidInput, InvalidManifest, over_limit
from app.core.sequence import Read
from app.tasks.forecast.anomalies.detector import AnomalyDetector
from app.tasks.forecast.backtest import Backtester
from app.tasks.forecast.covariate_spec import all_columns
from app.tasks.forecast.history import History, HistoryReader, bounds, timestamps_of
from app.tasks.forecast.paths import DEFAULT_PATHS, Paths
from app.tasks.forecast.quantiles import Quantiles, rounded
from app.tasks.forecast.schema import (
    NOT_TOLD,
    Forecast,
    ForecastAnswer,
    ForecastFromState,
    ForecastLimits,
    ForecastOfTable,
    ForecastRequest,
    NotedForecastAnswer,
    SessionForecast,
    wanted_quantiles,
)
from app.tasks.forecast.seen import Seen
from app.tasks.forecast.series_operation import TableReading
from app.tasks.forecast.session import ForecastSession
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.forecast.tensors import forecast_tensors
from app.tasks.model import Prepared, blocks_of
from app.tasks.session import SessionView

# Of the horizon that a model was trained for: as far as sample paths go.
MOST_HORIZONS = 10


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedForecast(Prepared):
    """``levels`` ascend; ``timestamps`` are those of the steps ahead, where they are known.

    ``notes`` are those of a table, by the series' id.
    """

    horizon: int
    levels: tuple[float, ...]
    histories: list[History]
    timestamps: list[list[str] | None]
    notes: dict[str, str]
    paths: Paths | None = None
    with_samples: bool = False


class ForecastModel:
    """See :class:`app.tasks.model.AnsweringModel`; raises InvalidManifest for a bundle that does not fit."""

    def __init__(self, bundle: Bundle, limits: ForecastLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(ForecastSpec)
        if spec.columns != all_columns(spec.covariates, spec.horizon):
            raise InvalidManifest(f"{manifest.reference} was made for other input columns; export it again")
        self._reference = manifest.reference
        self._limits = limits
        self._quantiles = Quantiles(spec.quantiles)
        self._reader = HistoryReader(self._reference, spec, limits)
        self._farthest = MOST_HORIZONS * spec.horizon
        self.milliseconds = self._reader.milliseconds
        self.backtest = Backtester(self._reference, spec, self._reader, self._quantiles)
        self.anomalies = AnomalyDetector(self._reference, spec, self._reader, self._quantiles)
        self.session = ForecastSession(spec, self._reader.covariates)
        self.table = TableReading(self._reference, limits)
        self.tensors = forecast_tensors(
            self._reference, spec, lambda request: self._wanted(request, spec.horizon)
        )
        self.inputs = {
            "quantiles": spec.quantiles,
            "frequencies": sorted(spec.frequencies),
            "window": spec.window,
            **self._reader.covariates.names,
        }
        self.limits = {
            "max_horizon": self._farthest,
            "trained_horizon": spec.horizon,
            "max_series": limits.max_series,
            "max_points": self._reader.max_points,
            "max_sampled_values": limits.max_sampled_values,
        }

    def levels(self, request: ForecastRequest) -> tuple[float, ...]:
        """The quantile levels that a request is answered with; raises InvalidInput, also for the horizon."""
        return self._wanted(request, self._farthest)

    def draws(self, horizon: int) -> bool:
        """Whether sample paths are drawn for so many steps ahead."""
        return horizon > self._spec.horizon

    def look(self, view: SessionView, request: ForecastFromState) -> SessionForecast:
        """What lies ahead of a session's last observation; raises as :meth:`prepare`."""
        if view.last is None:
            raise InvalidInput("id", f"session {view.id!r} has no observation yet; feed it at least one")
        levels = self._wanted(request, self._spec.horizon)
        seen = Seen.in_context(view.context)
        told = request.min if "min" in request.model_fields_set else NOT_TOLD
        low, high = bounds(told, request.max, seen)
        start, kind = self.session.following(view.context)
        horizon = self.session.horizon(view.context, request.horizon, self._reader.default_horizon(kind))
        stamps = timestamps_of(start, kind.frequency, 0, horizon)
        history = History(view.id, "", np.zeros(0), start, kind, seen, low, high)
        said = history.bounded(view.last[:horizon].astype(np.float64))
        table = rounded(said @ self._quantiles.weights(levels)[1], seen.noise)
        forecast = self._forecast(history, table, levels, stamps)
        return SessionForecast.model_construct(model=view.model, step=view.step, forecast=forecast)

    def prepare(self, request: ForecastRequest) -> PreparedForecast:
        levels = self._wanted(request, self._farthest)
        histories = self._reader.read(request)
        horizon = request.horizon or min(self._reader.horizon(histories), self._farthest)
        if histories[0].has_covariates or len(histories) > 1:
            self._reader.tell(histories, horizon)
        stamps: list[list[str] | None] = []
        steps: list[NDArray[np.generic]] = []
        for history in histories:
            known = history.start is not None
            stamps.append(history.timestamps(len(history.values), horizon) if known else None)
            steps.append(history.steps)
        blocks, members = blocks_of(steps, Read.LAST)
        prepared = PreparedForecast(
            blocks=blocks,
            members=members,
            horizon=horizon,
            levels=levels,
            histories=histories,
            timestamps=stamps,
            notes=request.notes if isinstance(request, ForecastOfTable) else {},
        )
        if horizon > self._spec.horizon or request.samples is not None:
            self._sample(prepared, request)
        return prepared

    def finish(self, prepared: PreparedForecast, outputs: list[NDArray[np.float32]]) -> ForecastAnswer:
        """``outputs``: of each series the last step's quantiles, ``[1, horizon, levels]``."""
        forecasts: list[Forecast] = []
        paths, levels = prepared.paths, prepared.levels
        _, weights = self._quantiles.weights(levels)
        for place, (history, stamps, output) in enumerate(
            zip(prepared.histories, prepared.timestamps, outputs, strict=True)
        ):
            noise = history.seen.noise
            said = output[0, : prepared.horizon].astype(np.float64)
            if history.low is not None or history.high is not None:
                said = history.bounded(said)
            table = rounded(said @ weights, noise)
            if paths is None:
                forecasts.append(self._forecast(history, table, levels, stamps))
                continue
            more: dict[str, Any] = {"paths": paths.num}
            if paths.beyond:
                table = np.concatenate([table, rounded(paths.beyond[place], noise)])
            if prepared.with_samples:
                more["samples"] = rounded(paths.values[place], noise).tolist()
            forecasts.append(self._forecast(history, table, levels, stamps, **more))
        if prepared.notes:
            return NotedForecastAnswer.made(model=self._reference, forecasts=forecasts, notes=prepared.notes)
        return ForecastAnswer.made(model=self._reference, forecasts=forecasts)

    def _sample(self, prepared: PreparedForecast, request: ForecastRequest) -> None:
        """Have sample paths drawn; raises InvalidInput for too many values of them."""
        num = request.samples or DEFAULT_PATHS
        series, horizon, trained = len(prepared.histories), prepared.horizon, self._spec.horizon
        for steps, most, what in (
            (horizon, self._limits.max_sampled_values, "values"),
            (min(trained, horizon - trained), self._reader.max_fed, "steps that are read at once"),
        ):
            if series * num * steps > most:
                raise over_limit(
                    "horizon" if request.samples is None else "samples",
                    most,
                    f"{series} series of {num} sample paths of {horizon} steps are {series * num * steps} "
                    f"{what}, more than the limit of {most}; ask for fewer series, paths or steps",
                )
        paths = Paths(
            prepared.histories,
            prepared.members,
            self._quantiles,
            trained=trained,
            horizon=horizon,
            levels=prepared.levels,
            num=num,
            seed=request.seed,
        )
        prepared.paths, prepared.with_samples = paths, request.samples is not None
        prepared.further, prepared.further_ms = paths.further, paths.further_ms

    def _forecast(
        self,
        history: History,
        table: NDArray[np.float64],
        levels: tuple[float, ...],
        stamps: list[str] | None,
        **more: Any,
    ) -> Forecast:
        mean, *rows = table.T.tolist()
        kind = history.kind
        return Forecast.made(
            id=history.id,
            timestamps=stamps,
            mean=mean,
            quantiles=dict(zip(self._quantiles.weights(levels)[0], rows, strict=True)),
            season=kind.season,
            long_season=kind.long_season,
            freq=None if kind.frequency is None else kind.frequency.code,
            min=history.low,
            max=history.high,
            **more,
        )

    def _wanted(self, request: ForecastRequest | ForecastFromState, most: int) -> tuple[float, ...]:
        """The quantile levels of a request of at most so many steps whose levels the model knows."""
        if request.horizon is not None and request.horizon > most:
            raise InvalidInput(
                "horizon",
                f"{self._reference} forecasts 1 to {most} steps ahead, not {request.horizon}",
                allowed={"min": 1, "max": most},
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
