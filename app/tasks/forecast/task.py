"""The task ``forecast``: observations in, quantiles for each step ahead out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from app.tasks.forecast.anomalies.operation import ANOMALIES
from app.tasks.forecast.backtest_schema import BacktestAnswer, BacktestRequest
from app.tasks.forecast.batch.batcher import BATCH
from app.tasks.forecast.csv_answer import CSV_ANSWER
from app.tasks.forecast.csv_body import (
    CSV_TYPES,
    MILLISECONDS_PER_KIB,
    CsvBacktestQuery,
    CsvQuery,
    read_csv,
    read_csv_backtest,
)
from app.tasks.forecast.model import ForecastModel
from app.tasks.forecast.schema import (
    ForecastAnswer,
    ForecastFromState,
    ForecastLimits,
    ForecastRequest,
    NotedForecastAnswer,
    SessionForecast,
)
from app.tasks.forecast.series_operation import SERIES
from app.tasks.forecast.shell.command import COMMAND
from app.tasks.forecast.spec import ForecastSpec
from app.tasks.forecast.tensors import EXAMPLES
from app.tasks.session import SessionAction
from app.tasks.task import BodyReader, Load, LoadOption, Operation, Task

_YEAR = [112.0, 118.0, 132.0, 129.0, 121.0, 135.0, 148.0, 148.0, 136.0, 119.0, 104.0, 118.0]
_NEXT = [115.0, 126.0, 141.0, 135.0, 125.0, 149.0, 170.0, 170.0, 158.0, 133.0, 114.0, 140.0]


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    level, height = chance.uniform(50, 500), chance.uniform(5, 40)
    values = [
        round(level + height * math.sin(math.tau * hour / 24) + chance.gauss(0, height / 5), 2)
        for hour in range(options["points"])
    ]
    return {"values": values, "freq": "h", "horizon": options["horizon"]}


_LOAD = Load(
    options=(
        LoadOption(name="points", help="observations of a forecast", default=168, least=2, most=100_000),
        LoadOption(name="horizon", help="steps ahead of a forecast", default=24, least=1, most=10_000),
    ),
    body=_body,
    answered=b'"forecasts"',
    inputs=lambda number: b"[%d.5]" % (100 + number * 7 % 60),
)

FORECAST = SessionAction(
    name="forecast",
    request=ForecastFromState,
    answer=SessionForecast,
    doc="What lies ahead of the last observation. Nothing is run, and the session stays as it is.",
    examples={"ahead": {"summary": "Six steps", "value": {"horizon": 6, "levels": [80]}}},
    look=ForecastModel.look,
    lacking="does not forecast",
)

_TABLE = "month,passengers\n" + "".join(
    f"1949-{month:02d},{value:g}\n" for month, value in enumerate(_YEAR, start=1)
)


def _csv(read: Callable[[bytes, Any, Any], BaseModel], query: type[BaseModel]) -> BodyReader:
    return BodyReader(
        name="CSV",
        media_types=CSV_TYPES,
        read=read,
        query=query,
        milliseconds_per_kib=MILLISECONDS_PER_KIB,
        examples={
            "table": {
                "summary": "A time column and one series; the rest is in the query",
                "value": _TABLE,
            }
        },
    )


BACKTEST = Operation(
    path="/forecast/backtest",
    doc="""Forecast what is known already, and score it.

Forecasts are made from several places along each series.

One pass over a series, as the network reads it step by step. The scores stand beside those of the seasonal
naive forecast.""",
    request=BacktestRequest,
    answer=BacktestAnswer,
    of=lambda model: model.backtest,
    reads=(_csv(read_csv_backtest, CsvBacktestQuery),),
    examples={
        "monthly": {
            "summary": "The last six months, from four origins",
            "value": {"values": [*_YEAR, *_NEXT], "freq": "MS", "horizon": 3, "origins": 4, "levels": [80]},
        }
    },
)

TASK = Task(
    name="forecast",
    doc="""Forecast one series or many.

Send `values` for one series or `series` for many, oldest observation first, `null` where one is
missing. A `text/csv` body (header, an optional time column, one column per series) is the same
request, with the horizon and the rest in the query. With `Accept: text/csv` the answer is a table.""",
    spec=ForecastSpec,
    limits=ForecastLimits,
    open=ForecastModel,
    request=ForecastRequest,
    answer=ForecastAnswer | NotedForecastAnswer,
    default_model="forecaster",
    actions=(FORECAST,),
    operations=(SERIES, BACKTEST, ANOMALIES),
    load=_LOAD,
    page=Path(__file__).parent / "page",
    reads=(_csv(read_csv, CsvQuery),),
    writes=(CSV_ANSWER,),
    commands=(COMMAND,),
    batch=BATCH,
    examples={
        "one": {
            "summary": "One monthly series with a missing observation",
            "value": {
                "values": [*_YEAR, None, *_NEXT[1:]],
                "start": "1949-01-01",
                "freq": "MS",
                "horizon": 12,
                "quantiles": [0.1, 0.5, 0.9],
            },
        },
        "many": {
            "summary": "Two series, intervals of 80 and 95 percent",
            "value": {
                "series": [{"id": "first", "values": _YEAR}, {"id": "second", "values": _NEXT}],
                "freq": "MS",
                "horizon": 6,
                "levels": [80, 95],
            },
        },
    },
    tensor_examples=EXAMPLES,
    step_examples={
        "one": {"summary": "A value", "value": {"seq": 1, "inputs": 112.0}},
        "several": {
            "summary": "Several, one with its time, in a session with a freq",
            "value": {"seq": 1, "inputs": [112.0, None, {"value": 118.5, "time": "2024-01-01T02:00"}]},
        },
    },
)
