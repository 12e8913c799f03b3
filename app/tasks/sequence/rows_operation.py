"""``POST /sequence/rows``: a table in, and its rows out, as ``POST /sequence`` would read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.core.schema import Answer, ModelReference, Request
from app.tasks.model import Prepared
from app.tasks.sequence.bodies import CSV_TYPES, MILLISECONDS_PER_KIB, TableQuery, read_sequences
from app.tasks.sequence.schema import SequenceLimits
from app.tasks.sequence.steps import Steps
from app.tasks.task import BodyReader, Operation


class RowsRequest(Request):
    csv: Annotated[str, Field(min_length=1, description="the table, header first")]
    id: str | None = Field(default=None, description="name of a column that tells sequences apart")
    model: ModelReference = None


class SequenceRows(Answer):
    """Of one sequence; a row has the numbers of the model's columns, in their order."""

    id: str | None
    rows: list[list[float | None]]


class RowsAnswer(Answer):
    model: str
    columns: list[str] = Field(description="that the model reads")
    others: list[str] = Field(description="columns of the table that it does not read")
    sequences: list[SequenceRows]


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedRows(Prepared):
    answer: RowsAnswer


class TableReading:
    """See :class:`app.tasks.model.Answering`."""

    def __init__(self, reference: str, steps: Steps, columns: list[str], limits: SequenceLimits) -> None:
        self._reference = reference
        self._steps = steps
        self._columns = columns
        self._limits = limits

    def milliseconds(self, request: RowsRequest) -> float:
        return len(request.csv) / 1024 * MILLISECONDS_PER_KIB

    def prepare(self, request: RowsRequest) -> PreparedRows:
        text: str | bytes = request.csv
        body = text.encode() if isinstance(text, str) else text
        header, sequences = read_sequences(body, request.id, self._limits)
        found = [
            SequenceRows.made(id=id, rows=_rows(self._steps.of_rows(rows, "csv"))) for id, rows in sequences
        ]
        others = [name for name in header if name not in self._columns]
        answer = RowsAnswer.made(model=self._reference, columns=self._columns, others=others, sequences=found)
        return PreparedRows(blocks=[], members=[], answer=answer)

    def finish(self, prepared: PreparedRows, outputs: list[NDArray[np.float32]]) -> RowsAnswer:
        return prepared.answer


def _rows(steps: NDArray[np.generic]) -> list[list[float | None]]:
    # The text of a float32 has as few digits as tell it from all others.
    return [[None if value != value else float(str(value)) for value in row] for row in steps]


def _read(body: bytes, query: TableQuery, limits: SequenceLimits) -> RowsRequest:
    # The bytes are decoded where the table is read, with all other bodies.
    return RowsRequest.model_construct(csv=body, **query.model_dump())  # type: ignore[arg-type]  # as above


ROWS = Operation(
    path="/sequence/rows",
    doc="""The rows of a table, as read.

Send a `text/csv` body, or the text as `csv` in JSON. The answer has the rows that the model would be fed, by
sequence, and says which columns of the table it does not read. The network is not run.""",
    request=RowsRequest,
    answer=RowsAnswer,
    of=lambda model: model.table,
    reads=(
        BodyReader(
            name="CSV",
            media_types=CSV_TYPES,
            read=_read,
            query=TableQuery,
            milliseconds_per_kib=MILLISECONDS_PER_KIB,
        ),
    ),
    examples={
        "table": {"summary": "Two readings", "value": {"csv": "vibration,temperature\n0.1,20.5\n0.2,\n"}}
    },
)
