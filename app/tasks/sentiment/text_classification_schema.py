"""``/sentiment`` as Hugging Face's text-classification task shapes it: ``inputs`` in, labels out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel
from pydantic_core import PydanticCustomError

from app.core.schema import Answer, ModelReference, OneOrMany, Request
from app.tasks.sentiment.schema import HARD_MAX_CHARS, HARD_MAX_TEXTS

Transform = Literal["softmax", "sigmoid", "none"]
Truncation = Literal["longest_first", "only_first", "do_not_truncate"]


def _plain(inputs: object) -> object:
    """Texts in place of objects ``{"text": ...}``."""
    if isinstance(inputs, list):
        return [_text_of(text) if isinstance(text, dict) else text for text in inputs]
    return _text_of(inputs) if isinstance(inputs, dict) else inputs


def _text_of(given: dict[str, Any]) -> object:
    if set(given) != {"text"}:
        raise PydanticCustomError("text_object", 'should be a text, or {{"text": ...}} and nothing else')
    return given["text"]


class ClassificationParameters(Request):
    """How logits become scores, and how many are given."""

    top_k: int | None = Field(default=None, ge=1, description="the most likely labels; left out, all of them")
    return_all_scores: bool | None = Field(
        default=None, description="without `top_k`: false gives the most likely label alone"
    )
    truncation: bool | Truncation | None = Field(
        default=None, description="cut a text that is too long, instead of refusing it"
    )
    max_length: int | None = Field(default=None, ge=1, description="with `truncation`: tokens that are kept")
    function_to_apply: Transform | None = Field(
        default=None, description="from logits to scores; left out, `softmax`"
    )


class TextClassificationRequest(Request):
    """One text or several; after validation ``inputs`` is always a list, read it as ``texts``."""

    inputs: Annotated[
        str | list[str],
        OneOrMany(max_items=HARD_MAX_TEXTS, max_length=HARD_MAX_CHARS),
        BeforeValidator(_plain),
        Field(description='`{"text": ...}` stands for a text'),
    ]
    parameters: ClassificationParameters | None = None
    options: dict[str, Any] | None = Field(
        default=None, description="ignored: nothing is cached or loaded here"
    )
    model: ModelReference = None

    @property
    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs

    @property
    def kept_tokens(self) -> int | None:
        """Tokens to which a text is cut; 0 for the server's limit, and ``None`` where none is cut."""
        asked = self.parameters
        if asked is None or asked.truncation in (None, False, "do_not_truncate"):
            return None
        return asked.max_length or 0


class LabelScore(Answer):
    """A label and its score."""

    label: str
    score: float


class TextClassification(RootModel[list[list[LabelScore]]]):
    """For each text its labels, the most likely first; a single text is a list of one."""
