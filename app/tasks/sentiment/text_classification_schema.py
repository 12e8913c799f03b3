"""``/sentiment`` as Hugging Face's text-classification task shapes it: ``inputs`` in, labels out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from app.core.schema import Answer, ModelReference, OneOrMany, Request
from app.tasks.sentiment.schema import HARD_MAX_CHARS, HARD_MAX_TEXTS

Transform = Literal["softmax", "sigmoid", "none"]


class ClassificationParameters(Request):
    """How logits become scores, and how many are given."""

    top_k: int | None = Field(default=None, ge=1, description="the most likely labels; left out, all of them")
    function_to_apply: Transform | None = Field(
        default=None, description="from logits to scores; left out, `softmax`"
    )


class TextClassificationRequest(Request):
    """One text or several; after validation ``inputs`` is always a list, read it as ``texts``."""

    inputs: Annotated[str | list[str], OneOrMany(max_items=HARD_MAX_TEXTS, max_length=HARD_MAX_CHARS)]
    parameters: ClassificationParameters | None = None
    options: dict[str, Any] | None = Field(
        default=None, description="ignored: nothing is cached or loaded here"
    )
    model: ModelReference = None

    @property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class LabelScore(Answer):
    """A label and its score."""

    label: str
    score: float


class TextClassification(RootModel[list[list[LabelScore]]]):
    """For each text its labels, the most likely first; a single text is a list of one."""
