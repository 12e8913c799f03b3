"""Series of long tables to forecasts, a row for each step ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.core.errors import InvalidInput, RnnserveError
from app.core.schema import by_commas
from app.features.columns import Bounds, Column
from app.tasks.batch import Batch, Item, Kind, Reject, Rows
from app.tasks.batch import Layout as FileLayout
from app.tasks.forecast.batch.series import SeriesReader, TableLayout, find_layout
from app.tasks.forecast.csv_body import TableQuery, given, series_input
from app.tasks.forecast.model import ForecastModel
from app.tasks.forecast.paths import DEFAULT_PATHS
from app.tasks.forecast.schema import (
    LARGEST_VALUE,
    Coverage,
    ForecastAnswer,
    ForecastRequest,
    Horizon,
    Level,
    Seed,
    SeriesInput,
)

# Where a request does not say how far, so many first series do.
_MOST_TELLING = 256


_GIVEN = {"id", "values", "start", "freq"}
_NOT_GIVEN: dict[str, Any] = dict.fromkeys(SeriesInput.model_fields.keys() - _GIVEN)


class ForecastBatchOptions(TableQuery):
    """As in :class:`app.tasks.forecast.csv_body.CsvQuery`; 80 % intervals unless others are asked for."""

    horizon: Horizon = None
    quantiles: Annotated[list[Level] | None, BeforeValidator(by_commas)] = Field(
        default=None, min_length=1, max_length=99, description="by commas, as in `0.1,0.5,0.9`"
    )
    levels: Annotated[list[Coverage] | None, BeforeValidator(by_commas)] = Field(
        default=None,
        min_length=1,
        max_length=49,
        description="central intervals in percent, by commas; left out, 80",
    )
    seed: Seed = 0


class ForecastBatcher:
    """See :class:`app.tasks.batch.Batcher`."""

    def __init__(self, model: ForecastModel, options: ForecastBatchOptions) -> None:
        if options.levels is None and options.quantiles is None:
            options = options.model_copy(update={"levels": [80.0]})
        elif options.levels is not None and options.quantiles is not None:
            raise InvalidInput("levels", "give either quantiles or levels, not both")
        self._model = model
        self._options = options
        self._given = given(ForecastRequest, options) | {"model": None}
        self._bounds = Bounds(LARGEST_VALUE, 2**31, 2**31)
        self._readers: dict[str, SeriesReader] = {}
        levels = model.levels(ForecastRequest.model_construct(values=[0.0], **self._given))
        self.columns: dict[str, Kind] = {"id": "text", "step": "whole", "timestamp": "text", "mean": "number"}
        self.columns |= dict.fromkeys((f"{level:g}" for level in levels), "number")
        self.columns |= {"freq": "text", "season": "whole", "model": "text", "note": "text"}

    def layout(self, head: Rows, file: str) -> FileLayout:
        found = find_layout(head, self._options.layout, self._bounds)
        horizon = self._options.horizon or self._usual_horizon(found, head)
        return {"table": asdict(found), "horizon": horizon, "file": file}

    def key(self, layout: FileLayout) -> Sequence[str]:
        return TableLayout(**layout["table"]).id

    def items(self, rows: Rows, layout: FileLayout) -> tuple[list[Item], list[Reject]]:
        reader = self._readers.get(layout["file"])
        if reader is None:
            self._readers = {}  # parts of a file follow each other
            reader = self._readers[layout["file"]] = SeriesReader(
                TableLayout(**layout["table"]), self._bounds
            )
        found, rejects = reader.read(rows)
        code = layout["table"]["frequency"] or self._options.freq
        drawn = layout["horizon"] * DEFAULT_PATHS if self._model.draws(layout["horizon"]) else 0
        return [
            Item(
                each.line,
                each.column.name,
                len(each.column.values) + drawn,
                (_input(each.column, code), each.note),
            )
            for each in found
        ], rejects

    def request(self, items: Sequence[Item], layout: FileLayout) -> ForecastRequest:
        values = self._given | {"horizon": layout["horizon"]}
        return ForecastRequest.model_construct(series=[item.content[0] for item in items], **values)

    def rows(
        self, items: Sequence[Item], answer: ForecastAnswer, columns: Mapping[str, list[Any]]
    ) -> list[int]:
        counts: list[int] = []
        for item, forecast in zip(items, answer.forecasts, strict=True):
            num = len(forecast.mean)
            counts.append(num)
            columns["id"].extend([forecast.id] * num)
            columns["step"].extend(range(1, num + 1))
            columns["timestamp"].extend(forecast.timestamps or [None] * num)
            columns["mean"].extend(forecast.mean)
            for level, values in forecast.quantiles.items():
                columns[level].extend(values)
            columns["freq"].extend([forecast.freq] * num)
            columns["season"].extend([forecast.season] * num)
            columns["model"].extend([answer.model] * num)
            columns["note"].extend([item.content[1]] * num)
        return counts

    def _usual_horizon(self, found: TableLayout, head: Rows) -> int:
        """As far as a request with the file's first series would be answered."""
        series, _ = SeriesReader(found, self._bounds).read(head)
        code = found.frequency or self._options.freq
        told: list[int] = []
        refused: RnnserveError | None = None
        for each in series[:_MOST_TELLING]:
            one = ForecastRequest.model_construct(series=[series_input(each.column, code)], **self._given)
            try:
                told.append(self._model.prepare(one).horizon)
            except InvalidInput as error:
                refused = error
        if not told and refused is not None:
            raise refused
        covered = bool(found.future)
        return (min if covered else max)(told, default=1)


def _input(column: Column, frequency: str | None) -> SeriesInput:
    """Without covariates the values stay an array, which is what they become in the end."""
    if column.future or column.past or column.static:
        return series_input(column, frequency)
    start = None if column.start is None else column.start.isoformat()
    values: Any = column.values
    # With all of its fields, so that no defaults are looked up; those that are left out count as not given.
    return SeriesInput.model_construct(
        _GIVEN, id=column.name, values=values, start=start, freq=frequency, **_NOT_GIVEN
    )


BATCH = Batch(
    doc="""Forecast every series of long tables: a row for each time of each series.

    The columns are told by their names and what they hold, as POST /forecast tells them.
    docs/batch.md says how. The output has a row for each step ahead of each series.""",
    options=ForecastBatchOptions,
    open=ForecastBatcher,
)
