"""A forecast as CSV: a row for each step ahead of each series."""

from __future__ import annotations

import csv
import io
from typing import Any

from app.tasks.forecast.schema import Forecast, ForecastAnswer, NotedForecastAnswer
from app.tasks.task import AnswerWriter

# What was used for a series stands in each of its rows, as far as the answer says it.
_USED = tuple(name for name in ("freq", "season") if name in Forecast.model_fields)
_ROWS_PER_MS = 150


def write_csv(answer: ForecastAnswer) -> bytes:
    """Columns: id, step (1 is the next one), timestamp, mean, a column for each quantile, what was used."""
    notes = answer.notes if isinstance(answer, NotedForecastAnswer) else {}
    levels = list(answer.forecasts[0].quantiles) if answer.forecasts else []
    noted = ["note"] if notes else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "step", "timestamp", "mean", *levels, *_USED, "model", *noted])
    for forecast in answer.forecasts:
        used = [_cell(getattr(forecast, name)) for name in _USED]
        note = [notes.get(forecast.id or "", "")] if notes else []
        times = forecast.timestamps or [""] * len(forecast.mean)
        table = zip(times, forecast.mean, *forecast.quantiles.values(), strict=True)
        for step, row in enumerate(table, start=1):
            writer.writerow([forecast.id, step, *row, *used, answer.model, *note])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


CSV_ANSWER = AnswerWriter(
    media_type="text/csv",
    write=write_csv,
    milliseconds=lambda answer: sum(len(each.mean) for each in answer.forecasts) / _ROWS_PER_MS,
    example="id,step,timestamp,mean,0.1,0.9,model\nshop,1,2024-03-05T00:00:00,85.1,53.2,117.6,forecaster@1\n",
)
