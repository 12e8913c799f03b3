"""The operation ``POST /anomalies``: its content types and its documents."""

from __future__ import annotations

import csv
import io

from app.tasks.forecast.anomalies.schema import AnomalyAnswer, AnomalyRequest
from app.tasks.forecast.csv_body import CSV_TYPES, MILLISECONDS_PER_KIB, CsvAnomalyQuery, read_csv_anomalies
from app.tasks.task import AnswerWriter, BodyReader, Operation

_ROWS_PER_MS = 150
_HEADER = ("id", "step", "timestamp", "value", "expected", "low", "high", "score", "probability", "event")


def write_csv(answer: AnomalyAnswer) -> bytes:
    """A row for each value; in the column ``event`` those of an event have its number, from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    for each in answer.series:
        events: list[int | None] = [None] * len(each.values)
        for number, event in enumerate(each.events, start=1):
            events[event.first : event.last + 1] = [number] * (event.last + 1 - event.first)
        times = each.timestamps or [""] * len(each.values)
        columns = (times, each.values, each.expected, each.low, each.high, each.scores, each.probabilities)
        for step, row in enumerate(zip(*columns, events, strict=True)):
            writer.writerow([each.id, step, *row])
    return text.getvalue().encode()


ANOMALIES = Operation(
    path="/anomalies",
    doc="""Find what is unusual in series.

Each value is judged by the forecast made one step before it, in one pass over the series, and by how often
the series has been as surprising before. Values rarer than `false_alarms` are alarms, and alarms near each
other an event. A `text/csv` body is read as by `POST /forecast`, with the rest in the query; with
`Accept: text/csv` the answer is a table.""",
    request=AnomalyRequest,
    answer=AnomalyAnswer,
    of=lambda model: model.anomalies,
    reads=(
        BodyReader(
            name="CSV",
            media_types=CSV_TYPES,
            read=read_csv_anomalies,
            query=CsvAnomalyQuery,
            milliseconds_per_kib=MILLISECONDS_PER_KIB,
            examples={
                "spike": {
                    "summary": "Two weeks of hours, one of them ten times too high",
                    "value": "hour,load\n"
                    + "".join(
                        f"2024-03-{1 + hour // 24:02d}T{hour % 24:02d}:00,"
                        f"{400 if hour == 250 else 20 + 10 * (hour % 24 > 7) + hour % 5}\n"
                        for hour in range(336)
                    ),
                }
            },
        ),
    ),
    writes=(
        AnswerWriter(
            media_type="text/csv",
            write=write_csv,
            milliseconds=lambda answer: sum(len(each.values) for each in answer.series) / _ROWS_PER_MS,
            example=",".join(_HEADER) + "\nload,250,2024-03-11T10:00:00,400,31.2,27.9,34.6,8.0,1e-07,1\n",
        ),
    ),
    examples={
        "spike": {
            "summary": "One value of thirty is ten times too high",
            "value": {
                "values": [10.0 + k % 3 for k in range(24)] + [100.0] + [10.0 + k % 3 for k in range(5)]
            },
        }
    },
)
