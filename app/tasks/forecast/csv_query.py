"""The query of ``POST /forecast`` with a CSV body: what a table cannot say itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.core.schema import ModelReference
from app.tasks.forecast.schema import Coverage, FrequencyCode, Level


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
