"""Backtests: forecasts from several places along a series, as if the rest had not happened yet.

A network that reads step by step needs one pass over a series for all of them:

    values before the first origin --network--> forecast
    the ``stride`` values after it --network--> forecast ... until the last origin
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.core.sequence import BlockRequest, BlockResult, Read
from app.tasks.forecast.backtest_schema import (
    BacktestAnswer,
    BacktestRequest,
    OriginForecast,
    Scores,
    SeriesBacktest,
)
from app.tasks.forecast.history import MIN_OBSERVED, History, HistoryReader
from app.tasks.forecast.quantiles import Quantiles, rounded
from app.tasks.forecast.scores import Scale, mean_scores, middle, scores, seasonal_naive
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.model import Prepared, blocks_of

Array = NDArray[np.float64]

# Before its first origin a series has at least this many values, and at least a third of them all.
_LEAST_KNOWN = 2 * MIN_OBSERVED
# Steps, times levels, of all forecasts of a request: what they hold in memory, and how long they are scored.
MOST_FORECAST_STEPS = 500_000
_STEPS_PER_MS = 2_000


@dataclass(slots=True, eq=False)
class _Plan:
    """Where forecasts of a series are made: after ``first`` values, and each ``stride`` values on."""

    first: int
    stride: int
    num: int
    horizon: int

    @property
    def origins(self) -> list[int]:
        return [self.first + self.stride * place for place in range(self.num)]


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedBacktest(Prepared):
    """``said`` are of each series the quantiles ``[horizon, trained]`` from its origins, in their order."""

    request: BacktestRequest
    histories: list[History]
    plans: list[_Plan]
    levels: tuple[float, ...]
    intervals: dict[str, tuple[float, float]]
    said: list[list[NDArray[np.float32]]] = field(default_factory=list)
    series: list[SeriesBacktest] = field(default_factory=list)


class Backtester:
    """The backtests of one model; see :class:`app.tasks.model.Answering`."""

    def __init__(
        self, reference: str, spec: ForecastSpec, reader: HistoryReader, quantiles: Quantiles
    ) -> None:
        self._reference = reference
        self._spec = spec
        self._reader = reader
        self._quantiles = quantiles

    def milliseconds(self, request: BacktestRequest) -> float:
        return self._reader.milliseconds(request)

    def prepare(self, request: BacktestRequest) -> PreparedBacktest:
        self._check(request)
        # The season may be told only by what the first origin knows.
        histories = self._reader.read(request, lambda length: self._known(length, request))
        self._reader.tell(histories)
        plans = [self._plan(history, request) for history in histories]
        total = sum(plan.num * plan.horizon for plan in plans) * len(self._spec.quantiles)
        if total > MOST_FORECAST_STEPS:
            raise InvalidInput(
                "origins",
                f"forecasts of {total} numbers in all, origins times steps times the model's "
                f"{len(self._spec.quantiles)} "
                f"quantiles, are more than the limit of {MOST_FORECAST_STEPS}; ask for fewer series or "
                f"origins",
                allowed={"max": MOST_FORECAST_STEPS},
            )
        steps = [history.steps for history in histories]
        first: list[NDArray[np.generic]] = [
            each[: plan.first] for each, plan in zip(steps, plans, strict=True)
        ]
        blocks, members = blocks_of(first, Read.LAST)
        levels, intervals = self._levels(request.levels)
        prepared = PreparedBacktest(
            blocks=blocks,
            members=members,
            further_ms=total / _STEPS_PER_MS,
            request=request,
            histories=histories,
            plans=plans,
            levels=levels,
            intervals=intervals,
            said=[[] for _ in histories],
        )
        running = [list(block) for block in members]

        def further(results: Sequence[BlockResult]) -> list[BlockRequest]:
            blocks: list[BlockRequest] = []
            left: list[list[int]] = []
            for result, block in zip(results, running, strict=True):
                places = []
                for place, index in enumerate(block):
                    # A copy: the result may be a view of a whole run.
                    prepared.said[index].append(result.outputs[0][place, 0, : plans[index].horizon].copy())
                    if len(prepared.said[index]) < plans[index].num:
                        places.append(place)
                if places:
                    left.append([block[place] for place in places])
                    fed = [_between(steps[index], plans[index], prepared.said[index]) for index in left[-1]]
                    blocks.append(BlockRequest(np.stack(fed), Read.LAST, result.rows[places]))
            running[:] = left
            if not blocks:
                prepared.series = [self._scored(prepared, index) for index in range(len(histories))]
            return blocks

        prepared.further = further
        return prepared

    def finish(self, prepared: PreparedBacktest, outputs: list[NDArray[np.float32]]) -> BacktestAnswer:
        series = prepared.series
        return BacktestAnswer.model_construct(
            model=self._reference,
            scores=mean_scores([each.model for each in series]),
            seasonal_naive=mean_scores([each.seasonal_naive for each in series]),
            series=series,
        )

    def _check(self, request: BacktestRequest) -> None:
        most = self._spec.horizon
        if request.horizon is not None and request.horizon > most:
            raise InvalidInput(
                "horizon",
                f"a backtest of {self._reference} goes 1 to {most} steps ahead, not {request.horizon}",
                allowed={"min": 1, "max": most},
            )
        low, high = self._spec.quantiles[0], self._spec.quantiles[-1]
        widest = (1 - 2 * max(low, 1 - high)) * 100
        if max(request.levels) > widest:
            raise InvalidInput(
                "levels", f"{self._reference} knows intervals up to {widest:g} %", allowed={"max": widest}
            )

    def _known(self, length: int, request: BacktestRequest) -> int:
        """How many of ``length`` values the first origin knows, before the season is."""
        horizon = request.horizon or 1
        wanted = length - horizon - (request.origins - 1) * request.stride
        least = min(max(_LEAST_KNOWN, length // 3), length - 1)
        return max(wanted, least, 1)

    def _plan(self, history: History, request: BacktestRequest) -> _Plan:
        """As many origins as asked for that leave enough values before and a horizon behind them."""
        length = len(history.values)
        least = self._known(length, request) if request.horizon else max(_LEAST_KNOWN, length // 3)
        horizon = request.horizon or min(
            self._reader.default_horizon(history.kind), max((length - least) // 2, 1)
        )
        room = length - horizon - least
        if room < 0:
            raise InvalidInput(
                f"{history.prefix}values",
                f"a backtest {horizon} steps ahead needs {horizon + _LEAST_KNOWN} or more values, and two "
                f"thirds of a "
                f"series at most are forecast; got {length}",
                allowed={"min_values": max(horizon + _LEAST_KNOWN, -(-3 * horizon // 2))},
            )
        num = min(request.origins, room // request.stride + 1)
        return _Plan(length - horizon - (num - 1) * request.stride, request.stride, num, horizon)

    def _levels(self, asked: Sequence[float]) -> tuple[tuple[float, ...], dict[str, tuple[float, float]]]:
        """The model's levels and those of the intervals together; the two of each interval, by its name."""
        intervals = {}
        for level in sorted(set(asked)):
            tail = round((1 - level / 100) / 2, 6)
            intervals[f"{level:g}"] = (tail, round(1 - tail, 6))
        ends = {end for pair in intervals.values() for end in pair}
        return tuple(sorted(ends | set(self._spec.quantiles))), intervals

    def _scored(self, prepared: PreparedBacktest, index: int) -> SeriesBacktest:
        history, plan = prepared.histories[index], prepared.plans[index]
        values, kind, levels = history.values, history.kind, prepared.levels
        season = kind.season if plan.first > kind.season else 1
        truth = np.stack([values[origin : origin + plan.horizon] for origin in plan.origins])
        said = history.bounded(np.stack(prepared.said[index]).astype(np.float64))
        model = said @ self._quantiles.weights(levels)[1]
        naive = np.stack(
            [seasonal_naive(values[:origin], season, plan.horizon, levels) for origin in plan.origins]
        )
        scale = Scale.of(values[: plan.first], season)
        forecasts = None
        if prepared.request.forecasts:
            forecasts = [
                self._forecast(history, prepared, origin, table)
                for origin, table in zip(plan.origins, model, strict=True)
            ]
        return SeriesBacktest.model_construct(
            id=history.id,
            season=kind.season,
            long_season=kind.long_season,
            freq=None if kind.frequency is None else kind.frequency.code,
            horizon=plan.horizon,
            origins=plan.origins,
            model=_score(prepared, truth, model[..., 0], model[..., 1:], scale),
            seasonal_naive=_score(prepared, truth, naive[..., middle(levels)], naive, scale),
            forecasts=forecasts,
        )

    def _forecast(
        self, history: History, prepared: PreparedBacktest, origin: int, table: Array
    ) -> OriginForecast:
        levels = prepared.levels
        outer = {end for pair in prepared.intervals.values() for end in pair}
        ends = sorted(outer | {levels[middle(levels)]})
        columns = [0, *(1 + levels.index(end) for end in ends)]
        mean, *rows = rounded(table[:, columns], history.seen.noise).T.tolist()
        return OriginForecast.made(
            origin=origin,
            id=history.id,
            timestamps=history.timestamps(origin, len(mean)),
            mean=mean,
            quantiles={f"{end:g}": row for end, row in zip(ends, rows, strict=True)},
        )


def _score(prepared: PreparedBacktest, truth: Array, mean: Array, quantiles: Array, scale: Scale) -> Scores:
    levels = prepared.levels
    intervals = {
        name: (quantiles[..., levels.index(low)], quantiles[..., levels.index(high)])
        for name, (low, high) in prepared.intervals.items()
    }
    return scores(truth, mean, quantiles, levels, intervals, scale)


def _between(steps: NDArray[np.float32], plan: _Plan, said: Sequence[object]) -> NDArray[np.float32]:
    """The steps from the last origin that was forecast to the next one."""
    first = plan.first + (len(said) - 1) * plan.stride
    return steps[first : first + plan.stride]
