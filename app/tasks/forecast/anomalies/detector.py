"""Anomalies of whole series: one pass, in which each value is judged by the forecast made one step before it.

steps --network, some at a time--> quantiles of each next step --> scores --> probabilities --> events
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.core.sequence import BlockRequest, BlockResult, Read
from app.tasks.forecast.anomalies.rarity import Rarity
from app.tasks.forecast.anomalies.schema import AnomalyAnswer, AnomalyEvent, AnomalyRequest, SeriesAnomalies
from app.tasks.forecast.history import History, HistoryReader
from app.tasks.forecast.quantiles import Quantiles, rounded
from app.tasks.forecast.session import MAX_SCORE
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.model import Prepared

Array = NDArray[np.float64]

# The network speaks of its whole horizon at each step; of so many steps at a time it is kept.
_STEPS_AT_ONCE = 4096
_SERIES_AT_ONCE = 256
_MILLISECONDS_PER_STEP = 0.01
# Values before the first score: until then the spread of a series is a guess.
_LEAST_KNOWN = 8
# Beyond this a score says no more: the tail of a series with large ones reaches no further.
_LARGEST_SCORE = 50.0
# Of the usual change from one value to the next; and of the values, which float32 does not tell apart.
_NEXT_TO_NOTHING = 1e-3
_SAME = 1e-6
_SMALLEST = float(np.finfo(np.float32).tiny)
_DECIMALS = 4
_DIGITS = 4
# A series is too short to tell of anything rarer.
_RAREST = 1e-12


@dataclass(slots=True, eq=False)
class _Group:
    """Series of one length that run together: ``steps`` and what was said, ``[series, time, ...]``."""

    members: list[int]
    steps: NDArray[np.float32]
    said: NDArray[np.float32]
    fed: int = 0

    def block(self, rows: NDArray[np.float32] | None) -> BlockRequest:
        """The steps that come next."""
        upto = self.fed + max(1, _STEPS_AT_ONCE // len(self.members))
        return BlockRequest(self.steps[:, self.fed : upto], Read.ALL, rows)

    def take(self, result: BlockResult) -> bool:
        """Keep what was said one step ahead; whether steps are left."""
        outputs = result.outputs[0]
        upto = self.fed + len(outputs[0])
        self.said[:, self.fed : upto] = outputs[:, :, 0]
        self.fed = upto
        return upto < len(self.steps[0])


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedAnomalies(Prepared):
    request: AnomalyRequest
    series: list[SeriesAnomalies]


class AnomalyDetector:
    """Of one model; see :class:`app.tasks.model.Answering`."""

    def __init__(
        self, reference: str, spec: ForecastSpec, reader: HistoryReader, quantiles: Quantiles
    ) -> None:
        self._reference = reference
        self._spec = spec
        self._reader = reader
        self._quantiles = quantiles

    def milliseconds(self, request: AnomalyRequest) -> float:
        return self._reader.milliseconds(request)

    def prepare(self, request: AnomalyRequest) -> PreparedAnomalies:
        low, high = self._spec.quantiles[0], self._spec.quantiles[-1]
        widest = (1 - 2 * max(low, 1 - high)) * 100
        if request.level > widest + 1e-9:
            raise InvalidInput(
                "level",
                f"{self._reference} knows intervals up to {widest:g} %, not {request.level:g} %",
                allowed={"max": round(widest, 6)},
            )
        histories = self._reader.read(request)
        self._reader.tell(histories)
        groups = _groups(histories, len(self._spec.quantiles))
        prepared = PreparedAnomalies(
            blocks=[group.block(None) for group in groups],
            members=[group.members for group in groups],
            further_ms=sum(len(history.values) for history in histories) * _MILLISECONDS_PER_STEP,
            request=request,
            series=[],
        )
        running = list(groups)

        def further(results: Sequence[BlockResult]) -> list[BlockRequest]:
            blocks: list[BlockRequest] = []
            left: list[_Group] = []
            for group, result in zip(running, results, strict=True):
                if group.take(result):
                    left.append(group)
                    blocks.append(group.block(result.rows))
            running[:] = left
            if not blocks:
                said = {
                    index: row
                    for group in groups
                    for index, row in zip(group.members, group.said, strict=True)
                }
                prepared.series = [
                    self._judged(request, history, said[index]) for index, history in enumerate(histories)
                ]
            return blocks

        prepared.further = further
        return prepared

    def finish(self, prepared: PreparedAnomalies, outputs: list[NDArray[np.float32]]) -> AnomalyAnswer:
        request = prepared.request
        return AnomalyAnswer.made(
            model=self._reference,
            false_alarms=request.false_alarms,
            level=request.level,
            series=prepared.series,
            notes=getattr(request, "notes", {}),
        )

    def _judged(
        self, request: AnomalyRequest, history: History, said: NDArray[np.float32]
    ) -> SeriesAnomalies:
        """``said``: ``[time, trained]``, at each step of the next one."""
        values = history.values.astype(np.float32).astype(np.float64)
        expected = np.full((len(values), len(self._spec.quantiles)), np.nan)
        expected[1:] = said[:-1]
        early = np.cumsum(~np.isnan(values)) <= _LEAST_KNOWN
        scores = normal_scores(expected, values, self._quantiles.scores, _least_width(values))
        scores[early] = np.nan
        found = Rarity().probabilities(np.minimum(scores, _LARGEST_SCORE))
        probabilities = np.array([float(f"{value:.{_DIGITS}g}") for value in np.maximum(found, _RAREST)])
        tail = (1 - request.level / 100) / 2
        table = history.bounded(expected) @ self._quantiles.weights((tail, 0.5, 1 - tail))[1]
        known = ~np.isnan(table[:, 0])
        if known.any():
            table[known] = rounded(table[known], history.seen.noise)
        # Of the mean and the three: the mean is not told.
        _, low, middle, high = table.T
        scores = np.minimum(scores, MAX_SCORE).round(_DECIMALS)
        alarms = np.flatnonzero(np.nan_to_num(probabilities, nan=1.0) <= request.false_alarms)
        stamps = history.timestamps(0, len(values))
        kind = history.kind
        return SeriesAnomalies.made(
            id=history.id,
            freq=None if kind.frequency is None else kind.frequency.code,
            season=kind.season,
            timestamps=stamps,
            values=_listed(history.values),
            expected=_listed(middle),
            low=_listed(low),
            high=_listed(high),
            scores=_listed(scores),
            probabilities=[
                None if value is None else float(f"{value:.4g}") for value in _listed(probabilities)
            ],
            events=[
                _event(run, stamps, history.values, middle, scores, probabilities)
                for run in _runs(alarms, request.gap)
            ],
        )


def normal_scores(expected: Array, values: Array, levels: Array, least: float = 0.0) -> Array:
    """How far values ``[time]`` lie from the median, in standard deviations of a normal distribution.

    Args:
        expected: quantiles ``[time, levels]``; NaN where nothing was expected.
        levels: normal scores of their levels. Beyond the outermost the tails are those of a normal
            distribution with the slope there.
        least: width that two neighbouring quantiles have at least.
    """
    if len(levels) == 1:
        return np.full(len(values), np.nan)
    places = np.arange(len(values))
    right = np.clip((expected < values[:, None]).sum(axis=1), 1, len(levels) - 1)
    low, high = expected[places, right - 1], expected[places, right]
    share = (values - low) / np.maximum(high - low, max(least, _SMALLEST))
    score = levels[right - 1] + share * (levels[right] - levels[right - 1])
    same = np.abs(expected - values[:, None]).max(axis=1) <= least
    return np.where(same, 0.0, np.abs(score))


def _least_width(values: Array) -> float:
    """What is next to nothing on a series: a forecaster that is surer than this of a pattern is too sure."""
    known = values[~np.isnan(values)]
    changes = np.abs(np.diff(known))
    changes = changes[changes > 0]
    change = float(np.median(changes)) if len(changes) else 0.0
    return max(_NEXT_TO_NOTHING * change, _SAME * float(np.quantile(np.abs(known), 0.9)))


def _groups(histories: Sequence[History], num_levels: int) -> list[_Group]:
    by_length: dict[int, list[int]] = {}
    for index, history in enumerate(histories):
        by_length.setdefault(len(history.values), []).append(index)
    groups = []
    for length, members in by_length.items():
        for at in range(0, len(members), _SERIES_AT_ONCE):
            some = members[at : at + _SERIES_AT_ONCE]
            steps = [histories[index].steps for index in some]
            groups.append(
                _Group(some, np.stack(steps), np.empty((len(some), length, num_levels), np.float32))
            )
    return groups


def _runs(alarms: NDArray[np.intp], gap: int) -> list[NDArray[np.intp]]:
    """Alarms that are at most ``gap`` steps apart."""
    if not len(alarms):
        return []
    return np.split(alarms, np.flatnonzero(np.diff(alarms) > gap) + 1)


def _event(
    run: NDArray[np.intp],
    stamps: list[str] | None,
    values: Array,
    expected: Array,
    scores: Array,
    probabilities: Array,
) -> AnomalyEvent:
    first, last = int(run[0]), int(run[-1])
    peak = int(run[np.argmin(probabilities[run])])
    return AnomalyEvent.made(
        first=first,
        last=last,
        start=None if stamps is None else stamps[first],
        end=None if stamps is None else stamps[last],
        alarms=len(run),
        peak=peak,
        value=float(values[peak]),
        expected=float(expected[peak]),
        score=float(scores[peak]),
        probability=float(probabilities[peak]),
    )


def _listed(numbers: Array) -> list[float | None]:
    listed: list[float | None] = numbers.tolist()
    for place in np.flatnonzero(np.isnan(numbers)):
        listed[place] = None
    return listed
