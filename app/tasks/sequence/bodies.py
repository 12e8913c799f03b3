"""Bodies besides JSON: a CSV of readings, and an array as NumPy saves it."""

from __future__ import annotations

import ast
from math import prod

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import InvalidInput
from app.core.schema import ModelReference
from app.features.table import read_table
from app.tasks.sequence.schema import OneSequence, Read, SequenceLimits, SequenceRequest
from app.tasks.sequence.steps import TableRows

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000
_MAX_AXES = 3


CSV_TYPES = ("text/csv", "application/csv")
MILLISECONDS_PER_KIB = 10 / 64


class ModelQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelReference = None


class TableQuery(ModelQuery):
    id: str | None = Field(
        default=None,
        description="name of a column that tells sequences apart; left out, the table is one sequence",
    )


class ArrayQuery(ModelQuery):
    read: Read | None = Field(default=None, description="`last` or `each`; left out, the model's default")


class CsvQuery(ArrayQuery, TableQuery):
    pass


def read_csv(body: bytes, query: CsvQuery, limits: SequenceLimits) -> SequenceRequest:
    """A row for each step, oldest first; columns that the model does not read are left out."""
    return _request([*read_sequences(body, query.id, limits)[1]], query)


def read_sequences(
    body: bytes, id: str | None, limits: SequenceLimits
) -> tuple[list[str], list[tuple[str | None, TableRows]]]:
    """The header of a table, and its rows by sequence."""
    table = read_table(body, limits.max_rows)
    if id is None:
        parts: dict[str | None, list[int]] = {None: list(range(len(table.rows)))}
    else:
        place, parts = table.index_of(id, "id"), {}
        for index, row in enumerate(table.rows):
            parts.setdefault(row.cells[place], []).append(index)
    return table.header, [(part, TableRows(table, indices)) for part, indices in parts.items()]


def read_npy(body: bytes, query: ArrayQuery, limits: SequenceLimits) -> SequenceRequest:
    """An array ``[time, columns]`` or ``[sequences, time, columns]``; of tokens, or numbers without names,
    the last axis may be missing."""
    array = parse_npy(body)
    if not array.size:
        raise InvalidInput("body", f"the array is empty, of shape {list(array.shape)}")
    several = array.ndim == _MAX_AXES
    return _request([(None, each) for each in array] if several else [(None, array)], query)


def _request(sequences: list[tuple[str | None, object]], query: ArrayQuery) -> SequenceRequest:
    each = [OneSequence.model_construct(id=id, rows=rows, text=None) for id, rows in sequences]
    return SequenceRequest.model_construct(
        rows=None, text=None, sequences=each, read=query.read, stream=False, model=query.model
    )


def parse_npy(data: bytes) -> NDArray[np.generic]:
    """An array of numbers in NumPy's format, versions 1 to 3, never larger than the bytes.

    Raises:
        InvalidInput: it is none, or holds objects, texts or records.
    """
    if not data.startswith(_MAGIC) or len(data) < 12:
        raise InvalidInput("body", "the body is no .npy file, as numpy.save writes it")
    width = 2 if data[6] == 1 else 4
    begin = 8 + width
    length = int.from_bytes(data[8:begin], "little")
    try:
        if length > _MAX_HEADER or begin + length > len(data):
            raise ValueError
        header = ast.literal_eval(data[begin : begin + length].decode("utf-8").strip())
        shape, fortran, descr = header["shape"], header["fortran_order"], header["descr"]
        dtype = np.dtype(descr) if isinstance(descr, str) else None
        sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError):
        raise InvalidInput("body", "the header of the .npy file cannot be read") from None
    if dtype is None or dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InvalidInput(
            "body",
            f"the .npy file holds {str(descr)[:40]!r}, not numbers; save the array as float32",
            allowed=["float32", "float64", "int64"],
        )
    if not sizes or not 1 <= len(shape) <= _MAX_AXES:
        raise InvalidInput("body", f"the array has 1 to {_MAX_AXES} axes, not {str(shape)[:40]}")
    content = memoryview(data)[begin + length :]
    if prod(shape) * dtype.itemsize != len(content):
        raise InvalidInput(
            "body", f"the .npy file says {list(shape)} of {dtype}, but {len(content)} bytes of data follow"
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
