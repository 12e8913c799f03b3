"""``POST /forecast/backtest``: a series in; how good forecasts of its last part would have been, out."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from app.core.schema import Answer
from app.tasks.forecast.schema import Coverage, Forecast, SeriesRequest

MAX_ORIGINS: Final = 1_000
DEFAULT_ORIGINS: Final = 10

BacktestHorizon = Annotated[
    int | None,
    Field(
        ge=1,
        le=2**31 - 1,
        description="steps ahead of each forecast, at most those that the model was trained for; left out, "
        "two "
        "seasons, or 12 where there is none, and less where the series is short",
    ),
]
Origins = Annotated[
    int, Field(ge=1, le=MAX_ORIGINS, description="forecasts of each series; fewer where it is short")
]
Stride = Annotated[int, Field(ge=1, le=2**31 - 1, description="steps from one origin to the next")]


class BacktestRequest(SeriesRequest):
    """Series, and from where in them forecasts are made."""

    horizon: BacktestHorizon = None
    origins: Origins = DEFAULT_ORIGINS
    stride: Stride = 1
    levels: Annotated[list[Coverage], Field(min_length=1, max_length=49)] = Field(
        default=[80.0], description="central intervals in percent whose coverage is counted"
    )
    forecasts: bool = Field(default=False, description="whether the forecasts themselves come back too")


class Scores(Answer):
    """Means over all origins and steps whose value is known; null where nothing can be scaled.

    The scale is the mean absolute seasonal difference of the values before the first origin; of ``rmsse`` its
    root mean square.
    """

    mase: float | None = Field(description="mean absolute error of the median, scaled")
    rmsse: float | None = Field(description="root mean square error of the mean, scaled")
    pinball: float | None = Field(description="mean quantile loss over the model's levels, scaled")
    coverage: dict[str, float | None] = Field(
        description="by interval in percent: the share of values inside"
    )


class OriginForecast(Forecast):
    """The forecast made after the first ``origin`` values."""

    origin: int


class SeriesBacktest(Answer):
    """Of one series."""

    id: str | None = None
    season: int
    long_season: int
    freq: str | None = None
    horizon: int
    origins: list[int] = Field(description="how many values each forecast knew")
    model: Scores
    seasonal_naive: Scores
    forecasts: list[OriginForecast] | None = Field(default=None, description="if asked for")


class BacktestAnswer(Answer):
    """Backtests in the order of the series, and the means of their scores."""

    model: str
    scores: Scores
    seasonal_naive: Scores
    series: list[SeriesBacktest]
