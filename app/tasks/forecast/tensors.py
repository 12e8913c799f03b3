"""Series as tensors: ``values [batch, time]`` in; means and quantiles ``[batch, horizon]`` out.

NaN is a missing observation. In a sequence, and when an output ``step_...`` is asked for, each value is
a step: what was expected of it, and how unusual it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from app.core.errors import InvalidInput
from app.core.schema import Request
from app.tasks.forecast.schema import (
    LARGEST_VALUE,
    Coverage,
    ForecastFromState,
    ForecastRequest,
    FrequencyCode,
    Level,
    SeriesInput,
    Start,
)
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.session import Examples
from app.tasks.tensor_table import ANY, FromState, Row, TensorInput, TensorOutput, TensorTable


def _values(*data: float | None) -> dict[str, Any]:
    return {"name": "values", "shape": [1, len(data)], "datatype": "FP32", "data": [*data]}


EXAMPLES: Examples = {
    "forecast": {
        "summary": "one series, six steps ahead (forecaster)",
        "value": {
            "id": "1",
            "parameters": {"horizon": 6, "levels": "80", "freq": "h"},
            "inputs": [_values(112, 118, 132, 129, 121, 135, 148, None)],
        },
    },
    "sequence": {
        "summary": "the first value of a sequence (forecaster)",
        "value": {
            "parameters": {"sequence_id": 42, "sequence_start": True},
            "inputs": [_values(112)],
        },
    },
}


def _listed(value: object) -> object:
    """A number, or numbers by commas, as a list: parameters of the protocol hold no lists."""
    if isinstance(value, str):
        try:
            return [float(part) for part in value.split(",")]
        except ValueError:
            return value
    return [value] if isinstance(value, int | float) else value


Levels = Annotated[list[Level] | None, BeforeValidator(_listed), Field(min_length=1, max_length=99)]
Coverages = Annotated[list[Coverage] | None, BeforeValidator(_listed), Field(min_length=1, max_length=49)]


class ForecastParameters(Request):
    """Of a forecaster; `freq`, `season` and `start` of a sequence are given at its start."""

    horizon: int | None = Field(default=None, ge=1, le=2**31 - 1, description="left out, the model's")
    quantiles: Levels = None
    levels: Coverages = Field(default=None, description="central intervals in percent, instead")
    freq: FrequencyCode | None = None
    season: int | None = Field(default=None, ge=1, le=1_000_000)
    start: Start | None = None


def forecast_tensors(
    reference: str, spec: ForecastSpec, check: Callable[[ForecastFromState], object]
) -> TensorTable:
    """The tensors of the forecaster ``name@version``; ``check`` refuses what no session forecasts."""
    trained = {"levels": ",".join(f"{level:g}" for level in spec.quantiles)}
    unknown = [np.nan] * len(spec.quantiles)

    def refuse_covariates() -> None:
        if spec.covariates is not None:
            raise InvalidInput(
                "inputs",
                f"{reference} reads covariates, which tensors do not carry: send series to POST /forecast, "
                f"or values to a session, with what GET /models/{reference} lists under covariates",
            )

    def request(series: list[SeriesInput], parameters: ForecastParameters) -> ForecastRequest:
        if parameters.quantiles is not None and parameters.levels is not None:
            raise InvalidInput("levels", "give either quantiles or levels, not both")
        return ForecastRequest.model_construct(
            series=series,
            season=None if parameters.season is None else [parameters.season],
            model=reference,
            **wanted(parameters),
        )

    def requests(rows: Sequence[Row], parameters: ForecastParameters) -> list[ForecastRequest]:
        refuse_covariates()
        start, freq = parameters.start, parameters.freq
        series = [SeriesInput.model_construct(values=row, start=start, freq=freq) for row in rows]
        return [request(series, parameters)]

    def wanted(parameters: ForecastParameters) -> dict[str, Any]:
        return {
            "horizon": parameters.horizon or spec.horizon,
            "quantiles": parameters.quantiles,
            "levels": parameters.levels,
        }

    def fields(row: Row, parameters: ForecastParameters, seq: int | None) -> dict[str, Any]:
        if parameters.model_fields_set & {"horizon", "quantiles", "levels"}:
            request([], parameters)
            check(ForecastFromState.model_construct(**wanted(parameters)))
        return wanted(parameters)

    def options(parameters: ForecastParameters) -> dict[str, Any]:
        refuse_covariates()
        return parameters.model_dump(include={"freq", "season", "start"}, exclude_none=True)

    return TensorTable(
        parameters=ForecastParameters,
        inputs=(TensorInput("values", "FP32", (ANY, ANY), also=("FP64",), largest=LARGEST_VALUE),),
        outputs=(
            TensorOutput("mean", "FP32", (ANY, ANY)),
            TensorOutput(
                "quantiles",
                "FP32",
                (ANY, ANY, ANY),
                of=lambda forecast: np.array([*forecast.quantiles.values()]).T,
                about=lambda forecast: {"levels": ",".join(forecast.quantiles)},
            ),
            TensorOutput(
                "step_forecast",
                "FP32",
                (ANY, ANY, len(spec.quantiles)),
                of=lambda step: [*step["forecast"].values()] if step["forecast"] else unknown,
                about=lambda step: trained,
            ),
            TensorOutput("step_quantile", "FP32", (ANY, ANY)),
            TensorOutput("step_anomaly_score", "FP32", (ANY, ANY)),
        ),
        meaning={"max_horizon": spec.horizon, **trained},
        requests=requests,
        answers=lambda answer: answer.forecasts,
        from_state=FromState(action="forecast", fields=fields, answer=lambda answer: answer.forecast),
        options=options,
    )
