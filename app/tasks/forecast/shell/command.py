"""``rnnserve forecast FILE``: a table in the terminal, and a CSV and a picture where they are asked for."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from pydantic import Field

from app.core.errors import ConfigurationError, InvalidInput
from app.tasks.forecast.csv_answer import write_csv
from app.tasks.forecast.csv_body import CsvQuery, read_csv
from app.tasks.forecast.schema import (
    ForecastAnswer,
    ForecastLimits,
    ForecastOfTable,
    ForecastRequest,
    NotedForecastAnswer,
    SeriesInput,
)
from app.tasks.forecast.shell.picture import check_drawable, draw
from app.tasks.task import Ask, Command

# A file of one's own is bounded by memory alone.
_LIMITS = ForecastLimits(max_series=10_000_000, max_points=2**31)
_PARAMETERS = frozenset({"body", *CsvQuery.model_fields})
# Of one request, so that progress is seen and no queue is filled.
_SERIES_AT_ONCE = 256
_POINTS_AT_ONCE = 100_000
# In a terminal; a file or a pipe gets all rows.
_MOST_ROWS = 60


class ForecastOptions(CsvQuery):
    """What is asked of the file, where the answer goes, and 80 % intervals unless others are asked for."""

    out: Path | None = Field(default=None, description="a CSV file for the forecasts")
    plot: Path | None = Field(
        default=None,
        description="a picture, .png, .svg or .pdf; needs matplotlib, which the extra plot brings",
    )


async def forecast_file(path: Path, options: ForecastOptions, ask: Ask) -> None:
    """Raises RnnserveError: the file cannot be read, or a forecast is refused."""
    if options.plot is not None:
        check_drawable(options.plot)
    if options.levels is None and options.quantiles is None:
        options = options.model_copy(update={"levels": [80.0]})
    request = _read(path, options)
    for name, note in request.notes.items():
        print(f"{name}: {note}", file=sys.stderr)
    answers = [answer async for answer in ask(_parts(request))]
    forecasts = [forecast for answer in answers for forecast in answer.forecasts]
    whole = NotedForecastAnswer.made(model=answers[0].model, forecasts=forecasts, notes=request.notes)
    print(_table(whole, sys.stdout.isatty()))
    if options.out is not None:
        _save(options.out, write_csv(whole))
    if options.plot is not None:
        _save(options.plot, draw(request.series or [], forecasts, options.plot.suffix))


def _read(path: Path, options: ForecastOptions) -> ForecastOfTable:
    name = "standard input" if str(path) == "-" else path.name
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return read_csv(data, options, _LIMITS)
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except InvalidInput as error:
        where = "" if error.field in _PARAMETERS else f"column {error.field!r}, "
        known = f"; allowed: {', '.join(error.allowed)}" if isinstance(error.allowed, list) else ""
        raise InvalidInput(error.field, f"{name}: {where}{error.message}{known}") from error


def _parts(request: ForecastOfTable) -> list[ForecastRequest]:
    """The same for some series at a time."""
    parts: list[list[SeriesInput]] = [[]]
    points = 0
    for series in request.series or []:
        points += len(series.values)
        if parts[-1] and (len(parts[-1]) == _SERIES_AT_ONCE or points > _POINTS_AT_ONCE):
            parts.append([])
            points = len(series.values)
        parts[-1].append(series)
    given = {name: getattr(request, name) for name in request.model_fields_set - {"notes"}}
    return [ForecastRequest.model_construct(**given | {"series": part}) for part in parts]


def _table(answer: ForecastAnswer, terminal: bool) -> str:
    """Columns of equal width; too many rows for a terminal are counted."""
    header, *rows = csv.reader(io.StringIO(write_csv(answer).decode()))
    shown = rows[:_MOST_ROWS] if terminal else rows
    kept = [place for place, name in enumerate(header) if name not in ("model", "note")]
    if all(not forecast.timestamps for forecast in answer.forecasts):
        kept.remove(header.index("timestamp"))
    else:
        kept.remove(header.index("step"))
    cells = [[header[place] for place in kept], *([row[place] for place in kept] for row in shown)]
    for row in cells[1:]:
        row[:] = [
            cell.removesuffix("T00:00:00").replace("T", " ") if cell[4:5] == "-" else cell for cell in row
        ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells
    ]
    if len(shown) < len(rows):
        lines.append(f"... and {len(rows) - len(shown)} rows more; --out FILE.csv has them all")
    return "\n".join(lines)


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror}") from error


COMMAND = Command(
    name="forecast",
    doc="""Forecast the series of a CSV.

    The file is read as POST /forecast reads it; docs/your-data.md says how.""",
    options=ForecastOptions,
    run=forecast_file,
)
