"""``POST /sequence`` and ``WS /sequence``: rows, tokens or a text in, named outputs out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from app.core.errors import InvalidInput
from app.core.schema import Answer, ModelReference, Request
from app.features.text import TextLimits

LARGEST_VALUE = 1e30
"""Beyond this a sum of squares would leave float32."""
HARD_MAX_TEXT = 10_000_000

_VALUE = {"anyOf": [{"type": "number"}, {"type": "null"}]}
Rows = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    {"type": "array", "items": _VALUE},
                    {"type": "object", "additionalProperties": _VALUE},
                    *_VALUE["anyOf"],
                ]
            },
        }
    ),
]
"""Checked by the model, which alone knows its columns."""
Read = Literal["last", "each"]
Text = Annotated[str, Field(min_length=1, max_length=HARD_MAX_TEXT)]


class SequenceLimits(TextLimits):
    max_sequences: int = Field(10_000, ge=1, le=10_000_000, description="sequences in one sequence request")
    max_rows: int = Field(
        1_000_000, ge=1, le=2**31, description="rows of one sequence request, over all its sequences"
    )


class OneSequence(Request):
    """One of several sequences."""

    id: str | None = Field(default=None, max_length=256, description="comes back with the result")
    rows: Rows = None
    text: Text | None = None


class SequenceRequest(Request):
    """One sequence in ``rows`` or ``text``, or many in ``sequences``.

    Raises:
        InvalidInput: a sequence has both or neither.
    """

    rows: Rows = Field(
        default=None,
        description="steps, oldest first: lists of numbers in the order of the model's columns, objects by "
        "column, or token ids; null where a value is missing",
    )
    text: Text | None = Field(default=None, description="in place of rows, for a model with a tokenizer")
    sequences: Annotated[list[OneSequence], Field(min_length=1, fail_fast=True)] | None = None
    read: Read | None = Field(
        default=None, description="`each`: also the outputs after every step; left out, the model's default"
    )
    stream: bool = Field(default=False, description="answer with server-sent events")
    model: ModelReference = None

    @model_validator(mode="after")
    def _one_form(self) -> SequenceRequest:
        if sum(form is not None for form in (self.rows, self.text, self.sequences)) != 1:
            allowed = ["rows", "text", "sequences"]
            raise InvalidInput("rows", "give exactly one of rows, text and sequences", allowed=allowed)
        for index, each in enumerate(self.sequences or ()):
            if (each.rows is None) == (each.text is None):
                raise InvalidInput(f"sequences.{index}", "give either rows or text", allowed=["rows", "text"])
        return self

    def all_sequences(self) -> list[OneSequence]:
        if self.sequences is not None:
            return self.sequences
        return [OneSequence.model_construct(id=None, rows=self.rows, text=self.text)]


_NUMBER = {"type": "number"}
_BY_NAME = {"type": "object", "additionalProperties": _NUMBER}
_CLASS = {
    "type": "object",
    "required": ["label", "score", "scores"],
    "properties": {"label": {"type": "string"}, "score": _NUMBER, "scores": _BY_NAME},
}
_KINDS = [_CLASS, _NUMBER, {"type": "array", "items": _NUMBER}, _BY_NAME]
Outputs = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": {"anyOf": _KINDS}})
]
"""By name: a class with its probabilities, a number, several numbers, or several by column."""


class SequenceResult(Answer):
    """What was said of one sequence."""

    id: str | None = None
    length: int = Field(description="steps")
    outputs: Outputs = Field(description="after the last step, by name")
    steps: list[Outputs] | None = Field(default=None, description="after each step, with `read` `each`")


class SequenceAnswer(Answer):
    """Results in the order of the sequences."""

    model: str
    results: list[SequenceResult]


class OutputsFrame(Answer):
    """The outputs of some further steps of one sequence."""

    type: Literal["outputs"] = "outputs"
    sequence: int = Field(description="which one of the request")
    first: int = Field(description="index of the first of these steps")
    steps: list[Outputs]


class LastFrame(Answer):
    """Every sequence has been read; ``results`` hold their last outputs."""

    type: Literal["done"] = "done"
    model: str
    results: list[SequenceResult]
