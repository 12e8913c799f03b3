"""A ``text/csv`` body as a forecast request: the table, and the query that says what a table cannot."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.core.schema import ModelReference, by_commas
from app.features.columns import Bounds, Column, read_columns
from app.features.layout import Layout
from app.features.table import read_table
from app.tasks.forecast.anomalies.schema import (
    DEFAULT_FALSE_ALARMS,
    DEFAULT_GAP,
    DEFAULT_LEVEL,
    AnomaliesOfTable,
    FalseAlarms,
    Gap,
    IntervalLevel,
)
from app.tasks.forecast.backtest_schema import (
    DEFAULT_ORIGINS,
    BacktestHorizon,
    BacktestRequest,
    Origins,
    Stride,
)
from app.tasks.forecast.schema import (
    LARGEST_VALUE,
    Coverage,
    ForecastLimits,
    ForecastOfTable,
    FrequencyCode,
    High,
    Horizon,
    Level,
    Low,
    Samples,
    Seasons,
    Seed,
    SeriesInput,
    SeriesRequest,
)

CSV_TYPES = (
    "text/csv",
    "application/csv",
    "application/x-csv",
    "text/x-csv",
    "text/comma-separated-values",
    "text/x-comma-separated-values",
    "text/tab-separated-values",
    # What browsers on Windows say of a CSV file.
    "application/vnd.ms-excel",
)


def _numbers_by_commas(value: object) -> object:
    """Whole numbers; what is none stays text, and is refused as such."""
    if not isinstance(value, str):
        return value
    return [int(part) if part.strip().isdecimal() else part for part in value.split(",")]


def _none_in_words(value: object) -> object:
    return None if value == "null" else value


CovariateColumns = Annotated[list[str] | None, BeforeValidator(by_commas), Field(min_length=1)]
MILLISECONDS_PER_KIB = 10 / 64
"""To read a table."""


class TableQuery(BaseModel):
    """Which columns of a table mean what, and what a table cannot say of its series."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    time: str | None = Field(
        default=None, description="name of the time column; left out, the first one that holds times"
    )
    id: str | None = Field(
        default=None,
        description="name of a column that tells series apart, where each value has a row of its own, or of "
        "several by commas; left out, `unique_id`, `item_id` or `series_id`, where there is one, or the only "
        "column of words where times repeat",
    )
    targets: Annotated[list[str] | None, BeforeValidator(by_commas)] = Field(
        default=None, min_length=1, description="columns of values, by commas; left out, all others"
    )
    freq: FrequencyCode | None = Field(default=None, description="left out, told from the time column")
    season: Annotated[Seasons, BeforeValidator(_numbers_by_commas)] = None
    min: Annotated[Low, BeforeValidator(_none_in_words)] = None
    max: High = None
    future: CovariateColumns = Field(
        default=None,
        description="columns that are known ahead, by commas: covariates for a model that reads some. What "
        "stands behind the last value of a series is the horizon",
    )
    past: CovariateColumns = Field(default=None, description="columns that are known up to now, by commas")
    static: CovariateColumns = Field(
        default=None, description="columns that never change along a series, by commas"
    )
    model: ModelReference = None

    @property
    def layout(self) -> Layout:
        covariates = (self.future or (), self.past or (), self.static or ())
        return Layout(self.time, self.id, self.targets or (), self.freq, *covariates)


class CsvQuery(TableQuery):
    """As in :class:`app.tasks.forecast.schema.ForecastRequest`, but read from text."""

    horizon: Horizon = None
    quantiles: Annotated[list[Level] | None, BeforeValidator(by_commas)] = Field(
        default=None, min_length=1, max_length=99, description="by commas, as in `0.1,0.5,0.9`"
    )
    levels: Annotated[list[Coverage] | None, BeforeValidator(by_commas)] = Field(
        default=None, min_length=1, max_length=49, description="central intervals in percent, by commas"
    )
    samples: Samples = None
    seed: Seed = 0


class CsvBacktestQuery(TableQuery):
    """As in :class:`app.tasks.forecast.backtest_schema.BacktestRequest`, but read from text."""

    horizon: BacktestHorizon = None
    origins: Origins = DEFAULT_ORIGINS
    stride: Stride = 1
    levels: Annotated[list[Coverage], BeforeValidator(by_commas)] = Field(
        default=[80.0], min_length=1, max_length=49, description="central intervals in percent, by commas"
    )
    forecasts: bool = Field(default=False, description="whether the forecasts themselves come back too")


class CsvAnomalyQuery(TableQuery):
    """As in :class:`app.tasks.forecast.anomalies.schema.AnomalyRequest`, but read from text."""

    false_alarms: FalseAlarms = DEFAULT_FALSE_ALARMS
    level: IntervalLevel = DEFAULT_LEVEL
    gap: Gap = DEFAULT_GAP


def read_csv(body: bytes, query: CsvQuery, limits: ForecastLimits) -> ForecastOfTable:
    """What the times skip becomes missing observations; raises InvalidInput."""
    series, notes = _read(body, query, limits)
    return ForecastOfTable(series=series, notes=notes, **given(ForecastOfTable, query))


def read_csv_backtest(body: bytes, query: CsvBacktestQuery, limits: ForecastLimits) -> BacktestRequest:
    """As :func:`read_csv`."""
    return BacktestRequest(series=_read(body, query, limits)[0], **given(BacktestRequest, query))


def read_csv_anomalies(body: bytes, query: CsvAnomalyQuery, limits: ForecastLimits) -> AnomaliesOfTable:
    """As :func:`read_csv`."""
    series, notes = _read(body, query, limits)
    return AnomaliesOfTable(series=series, notes=notes, **given(AnomaliesOfTable, query))


def _read(body: bytes, query: TableQuery, limits: ForecastLimits) -> tuple[list[SeriesInput], dict[str, str]]:
    bounds = Bounds(LARGEST_VALUE, limits.max_series, limits.max_points)
    found = read_columns(read_table(body, limits.max_points, "observations"), query.layout, bounds)
    code = query.freq if found.frequency is None else found.frequency.code
    return [series_input(column, code) for column in found.columns], found.notes


def given(kind: type[SeriesRequest], query: TableQuery) -> dict[str, Any]:
    """What the query says besides which columns mean what."""
    shared = query.model_fields_set & kind.model_fields.keys() - {"freq", "future", "past", "static"}
    return {name: getattr(query, name) for name in shared}


def series_input(column: Column, frequency: str | None) -> SeriesInput:
    start = None if column.start is None else column.start.isoformat()
    if not (column.future or column.past or column.static):
        values = _listed(column.values)
        return SeriesInput.model_construct(id=column.name, values=values, start=start, freq=frequency)
    observed = column.observed if column.future else len(column.values)
    return SeriesInput.model_construct(
        id=column.name,
        values=_listed(column.values[:observed]),
        start=start,
        freq=frequency,
        future={name: _listed(values) for name, values in column.future.items()},
        past={name: _listed(values[:observed]) for name, values in column.past.items()},
        static=column.static,
    )


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    listed: list[float | None] = values.tolist()
    for missing in np.flatnonzero(np.isnan(values)):
        listed[missing] = None
    return listed
