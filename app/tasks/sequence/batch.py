"""``rnnserve batch sequence``: the rows of long tables, by their sequence, and the model's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import InvalidInput
from app.core.schema import ModelReference
from app.features.table import Row, Table
from app.tasks.batch import Batch, Item, Kind, Layout, Reject, Rows, column_named, plain_numbers
from app.tasks.sequence.model import SequenceModel
from app.tasks.sequence.schema import LARGEST_VALUE, OneSequence, SequenceAnswer, SequenceRequest
from app.tasks.sequence.spec import NamedOutput
from app.tasks.sequence.steps import TableRows

Pick = Callable[[dict[str, Any]], Any]
_IDS = ("unique_id", "sequence_id", "series_id", "item_id", "id")


class SequenceBatchOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(
        default=None,
        description=f"column that tells sequences apart; left out, {', '.join(_IDS[:-1])} or {_IDS[-1]}",
    )
    text: str | None = Field(
        default=None, description="column of texts, each a sequence, for a model with a tokenizer"
    )
    read: Literal["last", "each"] | None = Field(
        default=None, description="outputs after the last step, or after each; left out, the model's default"
    )
    model: ModelReference = None


class SequenceBatcher:
    """See :class:`app.tasks.batch.Batcher`."""

    def __init__(self, model: SequenceModel, options: SequenceBatchOptions) -> None:
        self._options = options
        spec = model.spec
        self._names = [column.name for column in spec.columns]
        if not self._names and options.text is None:
            raise InvalidInput("text", "the model reads no named columns; name a column of texts with --text")
        self._each = (options.read or spec.read) == "each"
        self.columns: dict[str, Kind] = {"id": "text", "length": "whole"}
        if self._each:
            self.columns["step"] = "whole"
        self._outputs = [flat for output in spec.outputs for flat in _flat(output)]
        self.columns |= {name: kind for name, kind, _ in self._outputs}
        self.columns["model"] = "text"

    def layout(self, head: Rows, file: str) -> Layout:
        options = self._options
        named = options.id
        if named is None:
            named = next((name for name in head.columns if name.lower() in _IDS), None)
        if named is None and options.text is None:
            raise InvalidInput(
                "id", "name the column that tells sequences apart with --id", allowed=list(head.columns)
            )
        if named is not None:
            column_named(head, named, "id")
        if options.text is not None:
            column_named(head, options.text, "text")
        else:
            for name in self._names:
                column_named(head, name, name)
        return {"id": named}

    def key(self, layout: Layout) -> Sequence[str]:
        return [layout["id"]] if self._options.text is None else ()

    def items(self, rows: Rows, layout: Layout) -> tuple[list[Item], list[Reject]]:
        if self._options.text is not None:
            return self._texts(rows, layout)
        plain = [plain_numbers(rows.columns[name], rows.decimal_comma) for name in self._names]
        found = [column for column in plain if column is not None]
        values = np.stack(found, axis=1) if len(found) == len(plain) else None
        items = []
        for key, group in rows.groups([layout["id"]]):
            content: Any = None if values is None else values[group]
            # An error is to name its line, which a table knows.
            if content is None or not (np.abs(content) <= LARGEST_VALUE).all():
                content = self._table(rows, group)
            items.append(Item(rows.lines[group[0]], key, len(group), content))
        return items, []

    def _table(self, rows: Rows, group: NDArray[np.intp]) -> TableRows:
        texts = [rows.texts(name) for name in self._names]
        made = [Row(rows.lines[at], [cells[at] for cells in texts]) for at in group.tolist()]
        return TableRows(Table(self._names, made, rows.decimal_comma), range(len(made)))

    def _texts(self, rows: Rows, layout: Layout) -> tuple[list[Item], list[Reject]]:
        ids = [None] * len(rows) if layout["id"] is None else rows.texts(layout["id"])
        items: list[Item] = []
        rejects: list[Reject] = []
        for line, id, text in zip(rows.lines, ids, rows.texts(str(self._options.text)), strict=True):
            if text:
                items.append(Item(line, id, len(text), text))
            else:
                rejects.append(Reject(line, id, f"column {self._options.text!r}, there is no text"))
        return items, rejects

    def request(self, items: Sequence[Item], layout: Layout) -> SequenceRequest:
        text = self._options.text is not None
        sequences = [
            OneSequence.model_construct(
                id=item.id, rows=None if text else item.content, text=item.content if text else None
            )
            for item in items
        ]
        return SequenceRequest.model_construct(
            rows=None, text=None, sequences=sequences, read=self._options.read, stream=False, model=None
        )

    def rows(
        self, items: Sequence[Item], answer: SequenceAnswer, columns: Mapping[str, list[Any]]
    ) -> list[int]:
        counts: list[int] = []
        for result in answer.results:
            said = result.steps if self._each and result.steps is not None else [result.outputs]
            counts.append(len(said))
            columns["id"].extend([result.id] * len(said))
            columns["length"].extend([result.length] * len(said))
            if self._each:
                columns["step"].extend(range(1, len(said) + 1))
            for name, _, pick in self._outputs:
                columns[name].extend(map(pick, said))
            columns["model"].extend([answer.model] * len(said))
        return counts


def _flat(output: NamedOutput) -> list[tuple[str, Kind, Pick]]:
    """The columns of a named output: name, kind, and how to take it out of an answer."""
    name = output.name
    if output.labels:
        scores = [_number(f"{name}.{label}", name, "scores", label) for label in output.labels]
        return [
            (name, "text", partial(_taken, (name, "label"))),
            _number(f"{name}.score", name, "score"),
            *scores,
        ]
    if output.size == 1:
        return [_number(name, name)]
    return [_number(f"{name}.{key}", name, key) for key in output.columns or range(output.size)]


def _number(column: str, *path: str | int) -> tuple[str, Kind, Pick]:
    return column, "number", partial(_taken, path)


def _taken(path: Sequence[str | int], said: Any) -> Any:
    for key in path:
        said = said[key]
    return said


BATCH = Batch(
    doc="""Read every sequence of long tables with any recurrent network: a row a step, or a text a row.

    The output has a row for each sequence, or with --read each for each step. docs/batch.md says more.""",
    options=SequenceBatchOptions,
    open=SequenceBatcher,
)
