"""The task ``sequence``: numbers or tokens in, named outputs out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.tasks.sequence.batch import BATCH
from app.tasks.sequence.bodies import (
    CSV_TYPES,
    MILLISECONDS_PER_KIB,
    ArrayQuery,
    CsvQuery,
    read_csv,
    read_npy,
)
from app.tasks.sequence.model import SequenceModel
from app.tasks.sequence.rows_operation import ROWS
from app.tasks.sequence.schema import (
    LastFrame,
    OutputsFrame,
    SequenceAnswer,
    SequenceLimits,
    SequenceRequest,
)
from app.tasks.sequence.spec import SequenceSpec
from app.tasks.task import BodyReader, Load, Task

_NAMES = ("Tanaka", "Kowalski", "O'Brien", "Papadopoulos", "Nguyen", "Ferrari", "Rousseau", "Schneider")


def _body(chance: random.Random, options: Mapping[str, int]) -> dict[str, Any]:
    return {"sequences": [{"text": name} for name in chance.sample(_NAMES, 4)]}


TASK = Task(
    name="sequence",
    doc="""Read sequences with any recurrent network.

The outputs are given by name.

Send `rows`, oldest first: lists of numbers in the order of the model's columns, objects by column, or token
ids; `null` where a value is missing. A model with a tokenizer also reads `text`. `GET /models/{model}` says
what a model reads and gives a request that it takes, such as
`{"model": "machines", "rows": [{"vibration": 0.1, "temperature": 20.5}, {"vibration": 0.2}]}`.
With `read` `each`, there are outputs after every step.

A `text/csv` body has a row for each step and a column for each of the model's; an `application/x-npy` body is
an array `[time, columns]`, or `[sequences, time, columns]`, as `numpy.save` writes it.""",
    spec=SequenceSpec,
    limits=SequenceLimits,
    open=SequenceModel,
    request=SequenceRequest,
    answer=SequenceAnswer,
    frames=(OutputsFrame, LastFrame),
    whole=True,
    default_model="surnames",
    load=Load(
        body=_body,
        answered=b'"results"',
        # Token ids that any vocabulary has.
        inputs=lambda number: b"[%d]" % (number % 2),
    ),
    reads=(
        BodyReader(
            name="CSV",
            media_types=CSV_TYPES,
            read=read_csv,
            query=CsvQuery,
            milliseconds_per_kib=MILLISECONDS_PER_KIB,
        ),
        BodyReader(
            name="NumPy",
            media_types=("application/x-npy", "application/octet-stream"),
            read=read_npy,
            query=ArrayQuery,
        ),
    ),
    operations=(ROWS,),
    batch=BATCH,
    page=Path(__file__).parent / "page",
    examples={
        "text": {"summary": "A text, letter by letter", "value": {"text": "Papadopoulos", "read": "each"}},
        "many": {
            "summary": "Several sequences",
            "value": {"sequences": [{"id": "first", "text": "Tanaka"}, {"id": "second", "text": "Kowalski"}]},
        },
        "tokens": {"summary": "Token ids", "value": {"rows": [30, 12, 25, 7]}},
    },
    step_examples={
        "row": {
            "summary": "One reading, by column",
            "value": {"seq": 1, "inputs": {"vibration": 0.1, "temperature": 20.5}},
        },
        "rows": {"summary": "Two readings", "value": {"seq": 1, "inputs": [[0.1, 20.5], [0.2, 20.7]]}},
    },
    tensor_examples={
        "names": {
            "summary": "two names (surnames)",
            "value": {
                "inputs": [
                    {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["Tanaka", "Papadopoulos"]}
                ]
            },
        }
    },
)
