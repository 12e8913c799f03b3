"""``/sentiment`` as Hugging Face's text-classification task shapes it: ``inputs`` in, labels out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, RootModel
from pydantic_core import PydanticCustomError

from app.core.numbers import rounded, softmax
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


def classified(
    labels: Sequence[str], outputs: Sequence[NDArray[np.float32]], parameters: ClassificationParameters | None
) -> TextClassification:
    """``outputs``: for each text, logits ``[steps read, labels]``; the last step counts."""
    asked = parameters or ClassificationParameters()
    only_first = asked.top_k is None and asked.return_all_scores is False
    top_k = 1 if only_first else asked.top_k
    found: list[list[LabelScore]] = []
    for logits in outputs:
        scores = rounded(_transformed(logits[-1], asked.function_to_apply or "softmax"))
        order = np.argsort(-scores, kind="stable")[:top_k]
        found.append(
            [
                LabelScore.model_construct(label=labels[index], score=float(scores[index]))
                for index in order.tolist()
            ]
        )
    return TextClassification.model_construct(found)


def _transformed(logits: NDArray[np.float32], function: Transform) -> NDArray[np.float64]:
    if function == "softmax":
        return softmax(logits)
    wide = logits.astype(np.float64)
    # The logistic function by way of tanh, which does not overflow.
    return wide if function == "none" else 0.5 * (1.0 + np.tanh(0.5 * wide))
