"""A ``text/csv`` body as a forecast request."""

from __future__ import annotations

import numpy as np

from app.features.columns import Bounds, Column, Layout, read_columns
from app.features.table import read_table
from app.tasks.forecast.csv_query import CsvQuery
from app.tasks.forecast.limits import ForecastLimits
from app.tasks.forecast.schema import LARGEST_VALUE, ForecastRequest, SeriesInput


def read_csv(body: bytes, query: CsvQuery, limits: ForecastLimits) -> ForecastRequest:
    """The request that a CSV body and the query make; what the times skip becomes missing observations.

    Raises:
        InvalidInput: as :func:`app.features.table.read_table` and :func:`app.features.columns.read_columns`.
    """
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
