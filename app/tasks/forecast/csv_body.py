"""A ``text/csv`` body as a forecast request: the table, and the query that says what a table cannot."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.core.errors import InvalidInput
from app.core.schema import ModelReference
from app.features.columns import Bounds, Column, Layout, read_columns
from app.features.table import read_table
from app.tasks.forecast.schema import (
    LARGEST_VALUE,
    Coverage,
    ForecastLimits,
    ForecastRequest,
    FrequencyCode,
    Level,
    SeriesInput,
)

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How files of .xlsx and .xls begin."""


def _by_commas(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class CsvQuery(BaseModel):
    """As in :class:`app.tasks.forecast.schema.ForecastRequest`, but read from text."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    horizon: int = Field(ge=1, le=2**31 - 1, description="steps ahead; the model's own limit holds")
    time: str | None = Field(
        default=None, description="name of the time column; left out, the first column if it holds times"
    )
    id: str | None = Field(
        default=None,
        description="name of a column that tells series apart, where each value has a row of its own; "
        "left out, `unique_id`, `item_id` or `series_id`, where there is one",
    )
    targets: Annotated[list[str] | None, BeforeValidator(_by_commas)] = Field(
        default=None, min_length=1, description="columns of values, by commas; left out, all others"
    )
    freq: FrequencyCode | None = Field(default=None, description="left out, told from the time column")
    quantiles: Annotated[list[Level] | None, BeforeValidator(_by_commas)] = Field(
        default=None, min_length=1, max_length=99, description="by commas, as in `0.1,0.5,0.9`"
    )
    levels: Annotated[list[Coverage] | None, BeforeValidator(_by_commas)] = Field(
        default=None, min_length=1, max_length=49, description="central intervals in percent, by commas"
    )
    season: int | None = Field(default=None, ge=1, le=1_000_000, description="steps of one season")
    model: ModelReference = None


def read_csv(body: bytes, query: CsvQuery, limits: ForecastLimits) -> ForecastRequest:
    """What the times skip becomes missing observations; raises InvalidInput."""
    if body.startswith(_WORKBOOKS):
        raise InvalidInput("body", "this is an Excel workbook; save the sheet as CSV, and send that")
    layout = Layout(query.time, query.id, tuple(query.targets or ()), query.freq)
    bounds = Bounds(LARGEST_VALUE, limits.max_series, limits.max_points)
    columns, frequency = read_columns(read_table(body), layout, bounds)
    code = query.freq if frequency is None else frequency.code
    return ForecastRequest(
        series=[_series(column, code) for column in columns],
        horizon=query.horizon,
        quantiles=query.quantiles,
        levels=query.levels,
        season=query.season,
        model=query.model,
    )


def _series(column: Column, frequency: str | None) -> SeriesInput:
    values: list[float | None] = column.values.tolist()
    for missing in np.flatnonzero(np.isnan(column.values)):
        values[missing] = None
    return SeriesInput.model_construct(
        id=column.name,
        values=values,
        start=None if column.start is None else column.start.isoformat(),
        freq=frequency,
    )
