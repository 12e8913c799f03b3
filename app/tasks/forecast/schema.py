"""``POST /forecast``: observations in, quantiles for each step ahead out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from app.core.errors import InvalidInput
from app.core.limits import TaskLimits
from app.core.schema import Answer, ModelReference, Request

LARGEST_VALUE = 1e30
"""Beyond this a running sum of squares would leave float32."""

Value = Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
Values = Annotated[
    list[Value | None],
    Field(
        min_length=1,
        fail_fast=True,
        description="observations, oldest first, evenly spaced; null where one is missing",
    ),
]
Start = Annotated[
    str,
    Field(min_length=4, max_length=40, description="ISO 8601 time of the first observation"),
]
FrequencyCode = Annotated[
    str,
    Field(min_length=1, max_length=16, description="spacing, such as `h`, `D`, `W`, `MS` or `15min`"),
]
Level = Annotated[float, Field(gt=0, lt=1)]
Coverage = Annotated[float, Field(gt=0, lt=100)]


class ForecastLimits(TaskLimits):
    max_series: int = Field(10_000, ge=1, le=10_000_000, description="series in one forecast request")
    max_points: int = Field(
        1_000_000, ge=1, le=2**31, description="observations in one request, over all its series"
    )


class SeriesInput(Request):
    """One of several series."""

    id: str | None = Field(default=None, max_length=256, description="comes back with the forecast")
    values: Values
    start: Start | None = None
    freq: FrequencyCode | None = None


@dataclass(slots=True)
class Series:
    """One series, with what its request says of all of them filled in."""

    id: str | None
    values: list[float | None]
    start: str | None
    freq: str | None


class ForecastRequest(Request):
    """One series in ``values``, or many in ``series``.

    Raises:
        InvalidInput: both or neither are given, or ``quantiles`` and ``levels`` are.
    """

    values: Values | None = None
    series: Annotated[list[SeriesInput], Field(min_length=1, fail_fast=True)] | None = None
    start: Start | None = Field(default=None, description="of `values`, or of every series without its own")
    freq: FrequencyCode | None = Field(
        default=None, description="of `values`, or of every series without its own"
    )
    horizon: int = Field(ge=1, le=2**31 - 1, description="steps ahead; the model's own limit holds")
    quantiles: list[Level] | None = Field(default=None, min_length=1, max_length=99)
    levels: list[Coverage] | None = Field(
        default=None,
        min_length=1,
        max_length=49,
        description="central intervals in percent, instead of `quantiles`: 80 gives 0.1 and 0.9",
    )
    season: int | None = Field(
        default=None, ge=1, le=1_000_000, description="steps of one season, when `freq` does not tell it"
    )
    model: ModelReference = None

    @model_validator(mode="after")
    def _one_form(self) -> ForecastRequest:
        if (self.values is None) == (self.series is None):
            raise InvalidInput(
                "values",
                "give either values, for one series, or series, for many",
                allowed=["values", "series"],
            )
        if self.quantiles is not None and self.levels is not None:
            raise InvalidInput(
                "levels", "give either quantiles or levels, not both", allowed=["quantiles", "levels"]
            )
        return self

    def all_series(self) -> list[Series]:
        """The series in order, each with the ``start`` and ``freq`` that hold for it."""
        if self.series is None:
            assert self.values is not None
            return [Series(None, self.values, self.start, self.freq)]
        return [
            Series(
                series.id,
                series.values,
                self.start if series.start is None else series.start,
                self.freq if series.freq is None else series.freq,
            )
            for series in self.series
        ]


class ForecastFromState(Request):
    """What lies ahead of the last observation."""

    horizon: int = Field(ge=1, le=2**31 - 1)
    quantiles: list[Level] | None = Field(default=None, min_length=1, max_length=99)
    levels: list[Coverage] | None = Field(default=None, min_length=1, max_length=49)


def wanted_quantiles(request: ForecastRequest | ForecastFromState) -> tuple[float, ...] | None:
    """Quantile levels asked for, ascending and without repeats; ``None`` leaves them to the model."""
    if request.levels is not None:
        tails = {round((1 - level / 100) / 2, 6) for level in request.levels}
        return tuple(sorted(tails | {round(1 - tail, 6) for tail in tails}))
    return None if request.quantiles is None else tuple(sorted(set(request.quantiles)))


class Forecast(Answer):
    """The forecast of one series; each list has one entry per step ahead."""

    id: str | None = None
    timestamps: list[str] | None = Field(default=None, description="null without a start")
    mean: list[float]
    quantiles: dict[str, list[float]] = Field(description="by level, as in `0.1`")


class ForecastAnswer(Answer):
    """Forecasts in the order of the series."""

    model: str
    forecasts: list[Forecast]


class SessionForecast(Answer):
    """The forecast of a session."""

    model: str
    step: int
    forecast: Forecast
