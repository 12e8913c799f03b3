"""What a caller sends becomes steps of the network, or an error that names row and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.errors import InvalidInput
from app.features.table import Table
from app.features.text import TextCodec, TextLimits, check_ids, check_text
from app.tasks.sequence.schema import LARGEST_VALUE
from app.tasks.sequence.spec import SequenceSpec

_NUMBERS = frozenset({int, float, type(None)})
_MOST_SHOWN = 20
_FEW = 16


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """Some rows of a CSV, whose columns are found by their names."""

    table: Table
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)


class Steps:
    """Reads the steps of one model; ``codec`` is its tokenizer, if it has one."""

    def __init__(self, spec: SequenceSpec, codec: TextCodec | None, limits: TextLimits) -> None:
        self._spec = spec
        self._codec = codec
        self._limits = limits
        self._width = spec.step_width
        self._names = [column.name for column in spec.columns] or [str(at) for at in range(self._width)]
        self._by_name = {column.name: at for at, column in enumerate(spec.columns)}
        # Numbers without names may be missing: what a graph makes of them, nobody has said.
        self._needed = np.array([not column.missing for column in spec.columns] or [True] * self._width)

    def of_text(self, text: str, field: str) -> NDArray[np.generic]:
        if self._codec is None:
            raise InvalidInput(field, f"this model reads {self.described}, not text")
        check_text(field, text, self._limits)
        ids = self._codec.encode(text)
        if not ids:
            raise InvalidInput(field, "the text holds no tokens; give at least one")
        return np.array(ids, np.int64)

    def of_rows(self, rows: Any, field: str) -> NDArray[np.generic]:
        """Rows ``[time]`` of whatever form, at least one."""
        if isinstance(rows, np.ndarray):
            return self._of_array(rows, field)
        if isinstance(rows, TableRows):
            return self._of_table(rows)
        if not isinstance(rows, list) or not rows:
            raise InvalidInput(field, f"give a list of one or more rows: {self.described}")
        if not self._width:
            check_ids(field, rows, self._spec.vocabulary or 0)
            return np.array(rows, np.int64)
        values = self._fast(rows)
        if values is None:
            listed = [self._row(row, f"{field}.{index}") for index, row in enumerate(rows)]
            values = np.array(listed, np.float64).reshape(-1, self._width)
        return values.astype(np.float32)

    def of_inputs(self, inputs: Any) -> NDArray[np.generic]:
        """Of a session: one row, or a list of rows; or a text, or token ids."""
        if isinstance(inputs, str):
            return self.of_text(inputs, "inputs")
        if not isinstance(inputs, list):
            rows = [inputs]
        elif self._width > 1 and inputs and set(map(type, inputs)) <= _NUMBERS:
            # So few are looked at one by one sooner than NumPy's calls are made.
            if len(inputs) == self._width <= _FEW and all(
                value is not None and -LARGEST_VALUE <= value <= LARGEST_VALUE for value in inputs
            ):
                return np.array([inputs], np.float64).astype(np.float32)
            return self.of_rows([inputs], "inputs")
        else:
            return self.of_rows(inputs, "inputs")
        if self._width:
            return np.array([self._row(inputs, "inputs")], np.float64).astype(np.float32)
        return self.of_rows(rows, "inputs")

    @property
    def described(self) -> str:
        if not self._width:
            return f"token ids from 0 to {(self._spec.vocabulary or 0) - 1}"
        if not self._by_name:
            return f"lists of {self._width} numbers"
        names = ", ".join(self._names[:_MOST_SHOWN]) + ("" if self._width <= _MOST_SHOWN else ", ...")
        return f"numbers of the columns {names}"

    def _fast(self, rows: list[Any]) -> NDArray[np.float64] | None:
        """Lists in the order of the columns, all well; ``None`` leaves the rest to :meth:`_row`."""
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {self._width}:
            return None
        flat = list(chain.from_iterable(rows))
        if not set(map(type, flat)) <= _NUMBERS:
            return None
        try:
            values = np.array(flat, np.float64).reshape(-1, self._width)
        except OverflowError:
            return None
        missing = np.isnan(values)
        if missing.any() and (
            np.count_nonzero(missing) != flat.count(None) or missing[:, self._needed].any()
        ):
            return None
        return values if not (np.abs(values) > LARGEST_VALUE).any() else None

    def _row(self, row: Any, field: str) -> list[float]:
        if isinstance(row, dict) and self._by_name:
            return self._by_column(row, field)
        if self._width == 1 and not isinstance(row, list | dict):
            row = [row]
        if not isinstance(row, list):
            raise InvalidInput(field, f"this is no row: the model reads {self.described}")
        if len(row) != self._width:
            raise InvalidInput(
                field,
                f"the row has {len(row)} values, but the model reads {self._width}: {self.described}",
                allowed=self._names[:_MOST_SHOWN],
            )
        return [self._value(value, at, field) for at, value in enumerate(row)]

    def _by_column(self, row: dict[str, Any], field: str) -> list[float]:
        for name in row:
            if name not in self._by_name:
                raise InvalidInput(
                    f"{field}.{name}", f"the model has no column {name!r}", allowed=self._names
                )
        return [self._value(row.get(name), at, field) for name, at in self._by_name.items()]

    def _value(self, value: Any, at: int, field: str) -> float:
        where = f"{field}.{self._names[at]}"
        if value is None:
            if self._needed[at]:
                raise InvalidInput(where, "the value is missing, and the model takes no missing values here")
            return float("nan")
        if type(value) not in _NUMBERS or not abs(value) <= LARGEST_VALUE:
            raise InvalidInput(
                where,
                f"a value is a finite number of at most {LARGEST_VALUE:g} in magnitude, or null",
                allowed={"min": -LARGEST_VALUE, "max": LARGEST_VALUE},
            )
        return float(value)

    def _of_array(self, array: NDArray[Any], field: str) -> NDArray[np.generic]:
        """Tokens ``[time]``; numbers ``[time, width]``, or without names also ``[time * width]``."""
        if not self._width:
            if array.dtype.kind not in "iu" or array.ndim != 1:
                raise InvalidInput(field, f"the model reads whole numbers [time]: {self.described}")
            tokens = array.astype(np.int64)
            if len(tokens) and not (tokens.min() >= 0 and tokens.max() < (self._spec.vocabulary or 0)):
                check_ids(field, tokens.tolist(), self._spec.vocabulary or 0)
            return tokens
        flat = array.ndim == 1 and (self._width == 1 or not self._by_name)
        if flat and len(array) % self._width == 0:
            array = array.reshape(-1, self._width)
        if array.ndim != 2 or array.shape[1] != self._width:
            raise InvalidInput(
                field,
                f"the array has the shape {list(array.shape)}, but the model reads [time, {self._width}]: "
                f"{self.described}",
                allowed=self._names[:_MOST_SHOWN],
            )
        values = array.astype(np.float64)
        wrong = (np.abs(values) > LARGEST_VALUE) | (np.isnan(values) & self._needed)
        if wrong.any():
            row, at = np.argwhere(wrong)[0].tolist()
            value = values[row, at]
            self._value(None if np.isnan(value) else float(value), at, f"{field}.{row}")
        return values.astype(np.float32)

    def _of_table(self, rows: TableRows) -> NDArray[np.float32]:
        if not self._by_name:
            raise InvalidInput("body", f"the model reads {self.described}, which a CSV cannot say; send JSON")
        table = rows.table
        places = []
        for name in self._names:
            if name not in table.header:
                raise InvalidInput(name, f"the CSV has no column {name!r}", allowed=table.header)
            places.append(table.header.index(name))
        values = np.array(
            [
                [table.number(table.rows[row], place, LARGEST_VALUE) for place in places]
                for row in rows.indices
            ]
        )
        wrong = np.isnan(values) & self._needed
        if wrong.any():
            row, at = np.argwhere(wrong)[0].tolist()
            line = table.rows[rows.indices[row]].line
            raise InvalidInput(
                self._names[at],
                f"line {line}: the value is missing, and the model takes no missing values here",
            )
        return values.astype(np.float32)
