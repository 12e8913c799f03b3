"""JSON lines in parts: an object a line, whose fields are the columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from app.batch.row_file import Broken, Dialect, Read
from app.batch.text_file import TextFile
from app.core.errors import InvalidInput
from app.tasks.batch import Cells, Rows

_NUMBERS = frozenset({int, float, type(None)})
_PLAIN = _NUMBERS | {str, bool}


class JsonFile(TextFile):
    """See :class:`app.batch.text_file.TextFile`."""

    quoted = False

    def _found_out(self) -> Dialect:
        records, _, broken = _records(self._first_part(), 1)
        if not records:
            what = f"line {broken[0].line}: {broken[0].reason}" if broken else "the file is empty"
            raise InvalidInput("body", what)
        names: dict[str, None] = {}
        for record in records:
            names.update(dict.fromkeys(record))
        return {"header": list(names)}

    def _parsed(self, data: bytes, line: int) -> Read:
        records, lines, broken = _records(data, line)
        columns = {name: _cells([record.get(name) for record in records]) for name in self.header}
        return Rows(lines, columns), broken


def _records(data: bytes, line: int) -> tuple[list[dict[str, Any]], list[int], list[Broken]]:
    records: list[dict[str, Any]] = []
    lines: list[int] = []
    broken: list[Broken] = []
    for number, text in enumerate(data.split(b"\n"), start=line):
        if not text.strip():
            continue
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            broken.append(Broken(number, (), f"it is not JSON: {error}"))
            continue
        if not isinstance(record, dict) or not set(map(type, record.values())) <= _PLAIN:
            what = "it is no JSON object of texts and numbers, as in"
            broken.append(Broken(number, (), f'{what} {{"unique_id": "a", "y": 1.5}}'))
            continue
        records.append(record)
        lines.append(number)
    return records, lines, broken


def _cells(values: list[Any]) -> Cells:
    """A column: numbers where all are, so that a whole number is written as such."""
    kinds = set(map(type, values))
    try:
        if kinds == {int}:
            return np.array(values, np.int64)
        if float in kinds and kinds <= _NUMBERS:
            return np.array(values, np.float64)
    except OverflowError:
        pass
    return ["" if value is None else str(value).strip() for value in values]
