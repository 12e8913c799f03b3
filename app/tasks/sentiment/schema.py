"""``POST /sentiment``: texts in, a label and its probability out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.core.schema import Answer, ModelReference, OneOrMany, Request

HARD_MAX_TEXTS = 100_000
HARD_MAX_CHARS = 10_000_000


class SentimentRequest(Request):
    """One text or several. After validation ``text`` is always a list; read it as ``texts``."""

    text: Annotated[str | list[str], OneOrMany(max_items=HARD_MAX_TEXTS, max_length=HARD_MAX_CHARS)]
    trace: bool = Field(default=False, description="also give the running score after each token")
    model: ModelReference = None

    @property
    def texts(self) -> list[str]:
        return [self.text] if isinstance(self.text, str) else self.text


class TracePoint(Answer):
    """The verdict after one more token."""

    token: str
    start: int = Field(description="character offset of the token in the text")
    end: int = Field(description="character offset just past it")
    scores: dict[str, float]


class SentimentResult(Answer):
    """The verdict on one text."""

    label: str
    score: float = Field(description="probability of the label")
    scores: dict[str, float] = Field(description="probability of each label")
    trace: list[TracePoint] | None = None
    warning: str | None = Field(
        default=None,
        description="only where the model hardly knows the text's tokens: the verdict says little",
        exclude_if=lambda warning: warning is None,
    )


class SentimentAnswer(Answer):
    """Verdicts in the order of the texts."""

    model: str
    results: list[SentimentResult]
