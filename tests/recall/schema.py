"""What the task of the tests is asked, and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.bundle.manifest import Spec
from app.core.limits import TaskLimits
from app.core.schema import Answer, ModelReference, Request, Seq

MAX_LENGTH = 128


class RecallSpec(Spec):
    """How many tokens there are."""

    task: Literal["recall"] = "recall"
    vocabulary: int
    start_token: int = 0
    end_token: int | None = None


class RecallLimits(TaskLimits):
    """How many tokens are written."""

    max_recalled: int = Field(200, ge=1, le=10_000, description="tokens that are recalled")


class RecallRequest(Request):
    """One source or several, of tokens, or of numbers where the model reads pictures."""

    sources: list[list[int]] | list[list[list[list[float]]]] = Field(min_length=1, max_length=256)
    max_tokens: int = Field(default=12, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=2)
    seed: int = 0
    stream: bool = False
    model: ModelReference = None


class RecallAnswer(Answer):
    """The tokens of each source."""

    model: str
    tokens: list[list[int]]


class TokensFrame(Answer):
    """Further tokens of one source."""

    type: Literal["tokens"] = "tokens"
    source: int
    tokens: list[int]


class DoneFrame(Answer):
    """Everything has been written."""

    type: Literal["done"] = "done"
    model: str


class ContinueRequest(Request):
    """Go on from a session."""

    max_tokens: int = Field(default=5, ge=1)
    stream: bool = False
    advance: bool = False
    seq: Seq | None = None


class ForcedRequest(Request):
    """Targets to be read behind the sources."""

    sources: list[list[int]] = Field(min_length=1)
    targets: list[list[int]] = Field(min_length=1)
    model: ModelReference = None


class ForcedAnswer(Answer):
    """Of each target the logits of every step, as they are, and the weights of the source's positions."""

    model: str
    logits: list[list[list[float]]]


class SessionTokens(RecallAnswer):
    """The tokens, and where the session is after them."""

    step: int


class SessionDone(DoneFrame):
    """The last frame of a session's tokens."""

    step: int
