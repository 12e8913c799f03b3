"""What a request for forecasts may ask for."""

from __future__ import annotations

from pydantic import Field

from app.core.limits import TaskLimits


class ForecastLimits(TaskLimits):
    max_series: int = Field(10_000, ge=1, le=10_000_000, description="series in one forecast request")
    max_points: int = Field(
        1_000_000, ge=1, le=2**31, description="observations in one request, over all its series"
    )
