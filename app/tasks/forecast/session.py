"""Sessions on a forecaster: observations in; what was expected, and how surprising each was, out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.features.calendar import advance, parse_timestamp, position
from app.features.frequency import Frequency, parse_frequency
from app.features.series import SeriesKind, encode, kind_for
from app.tasks.forecast.covariate_spec import Told
from app.tasks.forecast.covariates import Covariates
from app.tasks.forecast.schema import LARGEST_VALUE, Given
from app.tasks.forecast.seen import Seen
from app.tasks.forecast.spec import ForecastSpec, known_frequencies
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output

# A longer hole in a stream is more likely a wrong clock than an outage to be bridged.
MAX_GAP = 1000
# A normal score beyond this is reported as this: float64 knows no probability behind it.
MAX_SCORE = 8.0
_OPTIONS = ("freq", "season", "start")
_OF_AN_EVENT = frozenset({"value", "time", "future", "past"})


@dataclass(frozen=True, slots=True)
class _Event:
    """A reported value, NaN where it is missing, and what the session had seen before it."""

    value: float
    seen: Seen


@dataclass(frozen=True, slots=True)
class _Step:
    """Of a step of the network its covariates, known ahead and of the past, and where they were reported."""

    given: Given | None = None
    field: str = ""


class ForecastSession:
    """See :class:`app.tasks.session.SessionTask`.

    The context holds ``freq``, ``season``, ``start`` (time of step 0, once known), ``position`` (steps so
    far, those of gaps included) and ``seen`` (see :class:`Seen`); with covariates also ``static``, and how
    many steps ``ahead`` of the last one were told.
    """

    def __init__(self, spec: ForecastSpec, covariates: Covariates) -> None:
        self._spec = spec
        self._covariates = covariates
        self._options = _OPTIONS + (("static",) if spec.covariates and spec.covariates.static else ())
        self._levels = np.array(spec.quantiles)
        self._known = known_frequencies(spec)
        normal = NormalDist()
        self._scores = np.array([normal.inv_cdf(level) for level in spec.quantiles])

    def open(self, options: Context) -> Context:
        for name in options:
            if name not in self._options:
                raise InvalidInput(
                    f"options.{name}",
                    f"a forecaster's session has the options {', '.join(self._options)}",
                    allowed=list(self._options),
                )
        freq, season, start = options.get("freq"), options.get("season"), options.get("start")
        if freq is not None:
            freq = _frequency(freq, "options.freq").code
        if season is not None and (type(season) is not int or not 1 <= season <= self._spec.window):
            raise InvalidInput(
                "options.season",
                f"a season is a whole number of steps from 1 to {self._spec.window}",
                allowed={"min": 1, "max": self._spec.window},
            )
        if start is not None:
            if freq is None:
                raise InvalidInput("options.freq", "start needs freq as well, such as h, D, W or MS")
            start = _moment(start, "options.start").isoformat()
        opened = {"freq": freq, "season": season, "start": start, "position": 0, "seen": Seen()._asdict()}
        if self._covariates.spec is None:
            return opened
        if freq is None and self._covariates.spec.holidays is not None:
            raise InvalidInput(
                "options.freq", "this forecaster reads holidays, which the times tell: give freq, such as D"
            )
        return opened | {"static": self._covariates.static(options.get("static", {}), "options."), "ahead": 0}

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """A number, null, ``{"value", "time"}``, or a list of these; gaps in time become missing steps."""
        events = inputs if isinstance(inputs, list) else [inputs]
        if not events:
            raise InvalidInput("inputs", "give one or more values")
        frequency = _frequency(context["freq"], "freq") if context["freq"] else None
        start = datetime.fromisoformat(context["start"]) if context["start"] else None
        due = first = int(context["position"])
        seen = Seen.in_context(context)
        fed: list[_Step] = []
        values: list[float] = []
        told_some = self._covariates.spec is not None
        reported: list[int] = []
        detail: list[_Event] = []
        for index, event in enumerate(events):
            field = f"inputs.{index}" if isinstance(inputs, list) else "inputs"
            value, moment = _event(event, field)
            if moment is not None:
                start, gap = _locate(start, moment, frequency, due, field)
                fed.extend([_Step()] * gap)
                values.extend([math.nan] * gap)
                due += gap
            reported.append(len(fed))
            given = _given(event) if isinstance(event, dict) else None
            told_some = told_some or given is not None
            fed.append(_Step(given, field))
            values.append(value)
            detail.append(_Event(value, seen))
            if not math.isnan(value):
                seen = seen.with_value(value)
            due += 1
        kind = kind_for(frequency, self._known, season=context["season"], window=self._spec.window)
        steps = encode(np.array(values), start, kind, skip=first)
        told, more = self._told(context, fed, start, frequency, first) if told_some else ([], {})
        if told:
            steps = np.stack(
                [each.widened(x[None], self._spec.horizon)[0] for each, x in zip(told, steps, strict=True)]
            )
        after = context | {
            "position": due,
            "start": None if start is None else start.isoformat(),
            "seen": seen._asdict(),
            **more,
        }
        return EncodedInputs(steps, tuple(reported), after, detail)

    def _told(
        self,
        context: Context,
        fed: Sequence[_Step],
        start: datetime | None,
        frequency: Frequency | None,
        first: int,
    ) -> tuple[list[Told], Context]:
        """The covariates of each step, and what to remember of them; of steps in a gap none was told."""
        if self._covariates.spec is None:
            for step in fed:
                if step.given is not None:
                    self._covariates.check(step.given, f"{step.field}.")
            return [], {}
        told, ahead, num = [], 0, 1 + self._spec.horizon
        days = None
        if self._covariates.spec.holidays is not None:
            field = f"{fed[-1].field}.time"
            days = self._covariates.holidays(start, frequency, len(fed) - 1 + num, first, field)
        for place, step in enumerate(fed):
            near = None if days is None else days[place : place + num]
            one, ahead = self._covariates.of_step(step.given, context["static"], near, step.field)
            told.append(one)
        return told, {"ahead": ahead}

    def horizon(self, context: Context, asked: int | None, usual: int) -> int:
        """Steps ahead of a forecast; raises InvalidInput for more than the last step told of."""
        told = context.get("ahead") if self._covariates.spec and self._covariates.spec.future else None
        if told is None:
            return asked or usual
        if not told or (asked or 1) > told:
            raise InvalidInput(
                "horizon",
                f"the last step told what is known ahead of {told} steps; a forecast goes no further. "
                "Give with each step the values of it and of the steps ahead",
                allowed={"max": told},
            )
        return asked or min(usual, told)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """The one-step forecast that was in force, the value's quantile under it, and its anomaly score.

        The score is the magnitude of the value's normal score: 2 is as rare as two standard
        deviations. Beyond the outermost levels the distribution is taken as normal. The first values have
        none, nor have missing ones.
        """
        return list(map(self._describe, calls))

    def _describe(self, call: AppliedInputs) -> list[Output]:
        described: list[Output] = []
        for step, event in zip(call.encoded.reported, call.encoded.detail, strict=True):
            known = call.known(step)
            if known is None:
                described.append({"forecast": None, "quantile": None, "anomaly_score": None})
                continue
            expected = known[0].astype(np.float64)
            expected[np.abs(expected) < event.seen.noise] = 0.0
            quantiles = {
                # float32 has no more significant digits.
                f"{level:g}": float(f"{quantile:.8g}") + 0.0
                for level, quantile in zip(self._levels, expected, strict=True)
            }
            if np.isnan(event.value) or not event.seen.enough:
                described.append({"forecast": quantiles, "quantile": None, "anomaly_score": None})
                continue
            score = self._normal_score(expected, float(np.float32(event.value)))
            described.append(
                {
                    "forecast": quantiles,
                    "quantile": round(NormalDist().cdf(score), 6),
                    "anomaly_score": round(abs(score), 4),
                }
            )
        return described

    def following(self, context: Context) -> tuple[datetime | None, SeriesKind]:
        """Time of the step that comes next, where it is known, and the kind of the series."""
        frequency = _frequency(context["freq"], "freq") if context["freq"] else None
        kind = kind_for(frequency, self._known, season=context["season"], window=self._spec.window)
        if frequency is None or context["start"] is None:
            return None, kind
        return advance(datetime.fromisoformat(context["start"]), frequency, context["position"]), kind

    def _normal_score(self, expected: NDArray[np.float64], value: float) -> float:
        """Where a value lies, in standard deviations of a normal with these quantiles around it."""
        right = int(np.searchsorted(expected, value))
        right = min(max(right, 1), len(expected) - 1)
        low, high = expected[right - 1], expected[right]
        share = (value - low) / (high - low) if high > low else 0.5
        score = self._scores[right - 1] + share * (self._scores[right] - self._scores[right - 1])
        return float(np.clip(score, -MAX_SCORE, MAX_SCORE))


def _event(event: Any, field: str) -> tuple[float, datetime | None]:
    moment = None
    if isinstance(event, dict):
        unknown = set(event) - _OF_AN_EVENT
        if unknown or "value" not in event:
            raise InvalidInput(
                field,
                'an event is a number, null, or {"value": ..., "time": ...}, with "future" and "past" where '
                "the forecaster reads covariates",
            )
        if event.get("time") is not None:
            moment = _moment(event["time"], f"{field}.time")
        event, field = event["value"], f"{field}.value"
    if event is None:
        return float("nan"), moment
    if isinstance(event, bool) or not isinstance(event, int | float) or not abs(event) <= LARGEST_VALUE:
        raise InvalidInput(
            field,
            f"a value is a finite number of at most {LARGEST_VALUE:g} in magnitude, or null",
            allowed={"min": -LARGEST_VALUE, "max": LARGEST_VALUE},
        )
    return float(event), moment


def _given(event: dict[str, Any]) -> Given | None:
    """The covariates of an event, as they are written."""
    if not {"future", "past"} & event.keys():
        return None
    return event.get("future") or {}, event.get("past") or {}, {}


def _locate(
    start: datetime | None, moment: datetime, frequency: Frequency | None, due: int, field: str
) -> tuple[datetime, int]:
    """The start of the series, and how many steps are missing before an event at ``moment``."""
    if frequency is None:
        raise InvalidInput(f"{field}.time", "times need the session's option freq, such as h, D, W or MS")
    if start is None:
        return advance(moment, frequency, -due), 0
    try:
        gap = position(start, moment, frequency) - due
    except InvalidInput as error:
        raise InvalidInput(f"{field}.time", error.message) from error
    if gap < 0:
        next_time = advance(start, frequency, due)
        raise InvalidInput(
            f"{field}.time", f"times must ascend; the next one is {next_time.isoformat()} or later"
        )
    if gap > MAX_GAP:
        raise InvalidInput(
            f"{field}.time",
            f"{gap} steps are missing before this one, more than {MAX_GAP}; open a new session",
            allowed={"max_gap": MAX_GAP},
        )
    return start, gap


def _frequency(code: Any, field: str) -> Frequency:
    if not isinstance(code, str):
        raise InvalidInput(field, "a frequency is a text such as h, D, W or MS")
    try:
        return parse_frequency(code)
    except InvalidInput as error:
        raise InvalidInput(field, error.message, allowed=error.allowed) from error


def _moment(text: Any, field: str) -> datetime:
    try:
        if not isinstance(text, str) or len(text) > 40:
            raise ValueError
        return parse_timestamp(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(field, "not an ISO 8601 date or time, such as 2024-01-31T13:00") from error
