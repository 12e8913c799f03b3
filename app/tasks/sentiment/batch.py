"""``rnnserve batch sentiment``: a text a row, and its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.core.errors import InvalidInput
from app.core.schema import ModelReference, by_commas
from app.features.table import number_of
from app.tasks.batch import Batch, Item, Kind, Layout, Reject, Rows, column_named
from app.tasks.sentiment.model import SentimentModel
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest

_TEXT: Kind = "text"
_NUMBER: Kind = "number"
_NAMES = ("text", "review", "sentence", "comment", "content", "body")


class SentimentBatchOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str | None = Field(
        default=None,
        description=f"column of texts; left out, the one named {', '.join(_NAMES[:-1])} or {_NAMES[-1]}, or "
        "the only one that holds words",
    )
    keep: Annotated[list[str], BeforeValidator(by_commas)] = Field(
        default=[], description="columns that are copied to the output, by commas"
    )
    warnings: bool = Field(
        default=False, description="a column `warning`, of texts whose tokens the model hardly knows"
    )
    model: ModelReference = None


class SentimentBatcher:
    """See :class:`app.tasks.batch.Batcher`."""

    def __init__(self, model: SentimentModel, options: SentimentBatchOptions) -> None:
        self._options = options
        said: dict[str, Kind] = {"label": "text", "score": "number"}
        said = {
            "file": "text",
            "line": "whole",
            **said,
            **dict.fromkeys(model.labels, _NUMBER),
            "model": "text",
        }
        if options.warnings:
            said["warning"] = "text"
        if twice := [name for name in options.keep if name in said or options.keep.count(name) > 1]:
            raise InvalidInput("keep", f"the output has a column {twice[0]!r} anyway; leave it out")
        own = dict.fromkeys(("file", "line", *options.keep), _TEXT) | {"line": said["line"]}
        self.columns: dict[str, Kind] = own | said
        self._labels = model.labels

    def layout(self, head: Rows, file: str) -> Layout:
        text = self._options.text
        for name in self._options.keep:
            column_named(head, name, "keep")
        column = _text_column(head) if text is None else column_named(head, text, "text")
        return {"text": column, "file": file}

    def key(self, layout: Layout) -> Sequence[str]:
        return ()

    def items(self, rows: Rows, layout: Layout) -> tuple[list[Item], list[Reject]]:
        kept = [rows.texts(name) for name in self._options.keep]
        items: list[Item] = []
        rejects: list[Reject] = []
        for at, (line, text) in enumerate(zip(rows.lines, rows.texts(layout["text"]), strict=True)):
            if text:
                items.append(
                    Item(line, None, len(text), (text, layout["file"], *(cells[at] for cells in kept)))
                )
            else:
                rejects.append(Reject(line, None, f"column {layout['text']!r}, there is no text"))
        return items, rejects

    def request(self, items: Sequence[Item], layout: Layout) -> SentimentRequest:
        texts = [item.content[0] for item in items]
        return SentimentRequest.model_construct(text=texts, trace=False, model=None)

    def rows(
        self, items: Sequence[Item], answer: SentimentAnswer, columns: Mapping[str, list[Any]]
    ) -> list[int]:
        for item, result in zip(items, answer.results, strict=True):
            columns["file"].append(item.content[1])
            columns["line"].append(item.line)
            for name, cell in zip(self._options.keep, item.content[2:], strict=True):
                columns[name].append(cell)
            columns["label"].append(result.label)
            columns["score"].append(result.score)
            for label in self._labels:
                columns[label].append(result.scores[label])
            columns["model"].append(answer.model)
            if self._options.warnings:
                columns["warning"].append(result.warning)
        return [1] * len(items)


def _text_column(head: Rows) -> str:
    """Raises InvalidInput: no column has a name of texts, and not just one holds words."""
    for name in head.columns:
        if name.lower() in _NAMES:
            return name
    words = [
        name for name in head.columns if any(cell and number_of(cell) is None for cell in head.texts(name))
    ]
    if len(words) != 1:
        raise InvalidInput("text", "name the column of texts with --text", allowed=list(head.columns))
    return words[0]


BATCH = Batch(
    doc="""Label every text of tables: a text a row.

    The output has a row for each, told by its file and line, with the label and the probability of each
    label. docs/batch.md says more.""",
    options=SentimentBatchOptions,
    open=SentimentBatcher,
)
