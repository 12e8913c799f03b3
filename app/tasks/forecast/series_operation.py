"""``POST /forecast/series``: a table in, and its series out, as ``POST /forecast`` would read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.core.schema import Answer, ModelReference, Request
from app.features.calendar import timestamps
from app.features.columns import Bounds, Column, ReadSeries, read_columns
from app.features.frequency import Frequency
from app.features.layout import Layout
from app.features.table import read_table
from app.tasks.forecast.csv_body import CSV_TYPES, MILLISECONDS_PER_KIB, TableQuery
from app.tasks.forecast.schema import LARGEST_VALUE, ForecastLimits, FrequencyCode
from app.tasks.model import Prepared
from app.tasks.task import BodyReader, Operation


class TableRequest(Request):
    """A table as text, and what it cannot tell by itself."""

    csv: Annotated[str, Field(min_length=1, description="the table, header first")]
    time: str | None = None
    id: str | None = None
    targets: list[str] | None = Field(default=None, min_length=1)
    freq: FrequencyCode | None = None
    future: list[str] | None = Field(default=None, min_length=1, description="columns of covariates")
    past: list[str] | None = Field(default=None, min_length=1)
    static: list[str] | None = Field(default=None, min_length=1)
    model: ModelReference = None


class TableSeries(Answer):
    """One series; values and timestamps have one entry for each step, also where the table has no row."""

    id: str
    values: list[float | None]
    timestamps: list[str] | None = Field(description="null without times")


class TableAnswer(Answer):
    """What was read, and which columns were taken for what."""

    model: str
    time: str | None = Field(description="name of the time column")
    ids: list[str] = Field(description="names of the columns that tell series apart, in a long table")
    targets: list[str] = Field(description="names of the columns of values")
    freq: str | None
    season: int = Field(description="steps of the season that is usual for `freq`; 1 is none")
    series: list[TableSeries]
    notes: dict[str, str] = Field(description="what was done to read a series or a column, by its name")


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedTable(Prepared):
    answer: TableAnswer


class TableReading:
    """See :class:`app.tasks.model.Answering`."""

    def __init__(self, reference: str, limits: ForecastLimits) -> None:
        self._reference = reference
        self._bounds = Bounds(LARGEST_VALUE, limits.max_series, limits.max_points)

    def milliseconds(self, request: TableRequest) -> float:
        return len(request.csv) / 1024 * MILLISECONDS_PER_KIB

    def prepare(self, request: TableRequest) -> PreparedTable:
        text: str | bytes = request.csv
        table = read_table(
            text.encode() if isinstance(text, str) else text, self._bounds.max_points, "observations"
        )
        covariates = (request.future or (), request.past or (), request.static or ())
        layout = Layout(request.time, request.id, request.targets or (), request.freq, *covariates)
        found = read_columns(table, layout, self._bounds)
        return PreparedTable(blocks=[], members=[], answer=self._answer(found, table.header))

    def finish(self, prepared: PreparedTable, outputs: list[NDArray[np.float32]]) -> TableAnswer:
        return prepared.answer

    def _answer(self, found: ReadSeries, header: list[str]) -> TableAnswer:
        frequency, roles = found.frequency, found.roles
        usual = (1, 1) if frequency is None else (frequency.season, frequency.long_season)
        return TableAnswer.made(
            model=self._reference,
            time=None if roles.time is None else header[roles.time],
            ids=[header[column] for column in roles.identifier],
            targets=[header[column] for column in roles.targets],
            freq=None if frequency is None else frequency.code,
            season=usual[0] if usual[0] > 1 else usual[1],
            series=[_series(column, frequency) for column in found.columns],
            notes=found.notes,
        )


def _series(column: Column, frequency: Frequency | None) -> TableSeries:
    times = None
    if column.start is not None and frequency is not None:
        times = [at.isoformat() for at in timestamps(column.start, frequency, len(column.values))]
    values = [None if math.isnan(value) else value for value in column.values.tolist()]
    return TableSeries.made(id=column.name, values=values, timestamps=times)


def _read(body: bytes, query: TableQuery, limits: ForecastLimits) -> TableRequest:
    # The bytes are decoded where the table is read, with all other bodies.
    return TableRequest.model_construct(csv=body, **query.model_dump())  # type: ignore[arg-type]  # as above


SERIES = Operation(
    path="/forecast/series",
    doc="""The series of a table, as read.

Send a `text/csv` body, or the text as `csv` in JSON. The answer has the values on the grid of their
frequency, and says which columns were taken for what. Nothing is forecast.""",
    request=TableRequest,
    answer=TableAnswer,
    of=lambda model: model.table,
    reads=(
        BodyReader(
            name="CSV",
            media_types=CSV_TYPES,
            read=_read,
            query=TableQuery,
            examples={
                "long": {
                    "summary": "A long table with decimal commas",
                    "value": "Filiale;Datum;Umsatz\n"
                    + "".join(f"{shop};{day}.1.2024;{day},5\n" for shop in "AB" for day in range(14, 18)),
                }
            },
        ),
    ),
    examples={
        "table": {
            "summary": "Two days of a shop",
            "value": {"csv": "day,shop\n2024-03-01,120\n2024-03-02,131\n"},
        }
    },
)
