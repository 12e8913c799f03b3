"""``POST /forecast``: observations in, quantiles for each step ahead out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

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
Horizon = Annotated[
    int | None,
    Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="steps ahead, up to ten times those that the model was trained for; left out, two "
        "seasons, or "
        "12 where there is none, and no more than trained",
    ),
]
MAX_SEASONS: Final = 2
MAX_COVARIATES: Final = 1_000
LONGEST_SEASON: Final = 1_000_000


def check_seasons(value: object) -> object:
    """One season or several, in steps, as a list; raises InvalidInput."""
    if value is None:
        return None
    seasons = value if isinstance(value, list) else [value]
    if not 1 <= len(seasons) <= MAX_SEASONS:
        raise InvalidInput(
            "season", f"give 1 to {MAX_SEASONS} seasons, not {len(seasons)}", allowed={"max": MAX_SEASONS}
        )
    for season in seasons:
        if type(season) is not int or not 1 <= season <= LONGEST_SEASON:
            raise InvalidInput(
                "season",
                "a season is a whole number of steps, 1 where there is none",
                allowed={"min": 1, "max": LONGEST_SEASON},
            )
    return seasons


_SEASON = {"type": "integer", "minimum": 1, "maximum": LONGEST_SEASON}
Seasons = Annotated[
    list[int] | None,
    BeforeValidator(check_seasons),
    WithJsonSchema(
        {
            "anyOf": [
                _SEASON,
                {"type": "array", "items": _SEASON, "minItems": 1, "maxItems": MAX_SEASONS},
                {"type": "null"},
            ]
        }
    ),
    Field(
        description="steps of one season, or of a short and a long one as in `[24, 168]`, instead of the "
        "usual ones of "
        "`freq`; 1 is none. Without it and without `freq` it is found from the values",
    ),
]
Low = Annotated[
    Value | None,
    Field(
        description="the least that is possible; left out, 0 where the observations are counts: none is "
        "negative, "
        "and all are whole or a tenth of them zero. `null`: no bound",
    ),
]
High = Annotated[Value | None, Field(description="the most that is possible")]
Numbers = Annotated[list[Value | None], Field(min_length=1, fail_fast=True)]
Future = Annotated[
    dict[str, Numbers] | None,
    Field(
        max_length=MAX_COVARIATES,
        description="covariates that are known ahead, by name: the values over the history, then over the "
        "horizon",
    ),
]
Past = Annotated[
    dict[str, Numbers] | None,
    Field(
        max_length=MAX_COVARIATES,
        description="covariates that are known up to now, by name: as many values as the series has",
    ),
]
Static = Annotated[
    dict[str, Annotated[str, Field(max_length=256)] | None] | None,
    Field(
        max_length=MAX_COVARIATES,
        description="covariates that never change, by name: one of the words that training saw, or null",
    ),
]
Samples = Annotated[
    int | None,
    Field(ge=1, le=1_000, description="so many sample paths come with the forecast"),
]
Seed = Annotated[
    int, Field(ge=0, le=2**63 - 1, description="of sample paths; the same seed draws the same ones")
]


class ForecastLimits(TaskLimits):
    max_series: int = Field(10_000, ge=1, le=10_000_000, description="series in one forecast request")
    max_points: int = Field(
        1_000_000, ge=1, le=2**31, description="observations in one request, over all its series"
    )
    max_sampled_values: int = Field(
        500_000,
        ge=1,
        le=2**31,
        description="values of all sample paths of one forecast request: series times paths times steps",
    )


class SeriesInput(Request):
    """One of several series."""

    id: str | None = Field(default=None, max_length=256, description="comes back with the forecast")
    values: Values
    start: Start | None = None
    freq: FrequencyCode | None = None
    min: Low = None
    max: High = None
    future: Future = None
    past: Past = None
    static: Static = None


NOT_TOLD: Final[Any] = object()
Given = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
"""Covariates by name: those known ahead, those of the past, static ones."""
NOTHING: Final[Given] = ({}, {}, {})


@dataclass(slots=True)
class Series:
    """One series, with what its request says of all of them filled in.

    ``min`` is :data:`NOT_TOLD` where the observations are to say whether there is one.
    """

    id: str | None
    values: list[float | None]
    start: str | None
    freq: str | None
    min: float | None
    max: float | None
    covariates: Given = NOTHING


class SeriesRequest(Request):
    """One series in ``values``, or many in ``series``.

    Raises:
        InvalidInput: both or neither are given.
    """

    values: Values | None = None
    series: Annotated[list[SeriesInput], Field(min_length=1, fail_fast=True)] | None = None
    start: Start | None = Field(default=None, description="of `values`, or of every series without its own")
    freq: FrequencyCode | None = Field(
        default=None, description="of `values`, or of every series without its own"
    )
    season: Seasons = None
    min: Low = None
    max: High = None
    future: Future = None
    past: Past = None
    static: Static = None
    model: ModelReference = None

    @model_validator(mode="after")
    def _one_form(self) -> SeriesRequest:
        if (self.values is None) == (self.series is None):
            raise InvalidInput(
                "values",
                "give either values, for one series, or series, for many",
                allowed=["values", "series"],
            )
        return self

    def all_series(self) -> list[Series]:
        """The series in order, each with what its request says of all."""
        low = self.min if "min" in self.model_fields_set else NOT_TOLD
        if self.series is None:
            assert self.values is not None
            own = NOTHING
            if self.future or self.past or self.static:
                own = _with_covariates(self)
            return [Series(None, self.values, self.start, self.freq, low, self.max, own)]
        return [
            Series(
                series.id,
                series.values,
                self.start if series.start is None else series.start,
                self.freq if series.freq is None else series.freq,
                series.min if "min" in series.model_fields_set else low,
                series.max if "max" in series.model_fields_set else self.max,
                _with_covariates(self, series),
            )
            for series in self.series
        ]


def _with_covariates(*requests: SeriesRequest | SeriesInput) -> Given:
    """Those of all series and of one, which has its own where a name is in both."""
    if not any(request.future or request.past or request.static for request in requests):
        return NOTHING
    future: dict[str, Any] = {}
    past: dict[str, Any] = {}
    static: dict[str, Any] = {}
    for request in requests:
        future |= request.future or {}
        past |= request.past or {}
        static |= request.static or {}
    return future, past, static


class ForecastRequest(SeriesRequest):
    """Series, and what is wanted of what follows them.

    Raises:
        InvalidInput: as in the base, or both ``quantiles`` and ``levels`` are given.
    """

    horizon: Horizon = None
    quantiles: list[Level] | None = Field(default=None, min_length=1, max_length=99)
    levels: list[Coverage] | None = Field(
        default=None,
        min_length=1,
        max_length=49,
        description="central intervals in percent, instead of `quantiles`: 80 gives 0.1 and 0.9",
    )
    samples: Samples = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_kind_of_levels(self) -> ForecastRequest:
        if self.quantiles is not None and self.levels is not None:
            raise InvalidInput(
                "levels", "give either quantiles or levels, not both", allowed=["quantiles", "levels"]
            )
        return self


class ForecastOfTable(ForecastRequest):
    """Read from a table; ``notes`` say of a series, by its id, what was done to read it."""

    notes: dict[str, str]


class ForecastFromState(Request):
    """What lies ahead of the last observation."""

    horizon: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="at most those that the model was trained for"
    )
    quantiles: list[Level] | None = Field(default=None, min_length=1, max_length=99)
    levels: list[Coverage] | None = Field(default=None, min_length=1, max_length=49)
    min: Low = None
    max: High = None


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
    season: int = Field(default=1, description="steps of the season that was used; 1 is none")
    long_season: int = Field(default=1, description="a longer one beside it; the same where there is none")
    freq: str | None = Field(default=None, description="the frequency, where it was told")
    min: float | None = Field(default=None, description="the least that was taken as possible")
    max: float | None = None
    paths: int | None = Field(
        default=None,
        description="so many sample paths were drawn; what lies further ahead than the model was trained "
        "for is "
        "their mean and quantiles. Only there where some were",
    )
    samples: list[list[float]] | None = Field(
        default=None, description="the paths, one value for each step ahead. Only there where asked for"
    )


class ForecastAnswer(Answer):
    """Forecasts in the order of the series."""

    model: str
    forecasts: list[Forecast]


class NotedForecastAnswer(ForecastAnswer):
    """Forecasts of a table whose times had to be moved to be read."""

    notes: dict[str, str] = Field(description="what was done to read a series, by its id")


class SessionForecast(Answer):
    """The forecast of a session."""

    model: str
    step: int
    forecast: Forecast
