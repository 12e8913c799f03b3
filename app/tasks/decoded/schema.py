"""Text that goes on from a prompt, whole or as frames: what tasks that produce tokens ask and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from app.core.schema import Answer, ModelReference, OneOrMany, Request

FinishReason = Literal["length", "stop", "stopped"]
"""``length``: max_tokens reached; ``stop``: a stop string or the end token; ``stopped``: by the client."""

HARD_MAX_PROMPT = 10_000_000
HARD_MAX_STOP = 64
SEEDS = 2**63
"""How many there are."""


def _prompt_form(value: Any) -> str | None:
    if isinstance(value, list):
        return "token_ids"
    return "text" if isinstance(value, str) else None


Prompt = Annotated[
    Annotated[str, Field(max_length=HARD_MAX_PROMPT), Tag("text")]
    | Annotated[list[int], Field(max_length=HARD_MAX_PROMPT, fail_fast=True), Tag("token_ids")],
    Discriminator(
        _prompt_form,
        custom_error_type="string_or_ids",
        custom_error_message="should be a string, or a list of token ids",
    ),
]


class TextRequest(Request):
    """What to continue, and how."""

    prompt: Prompt = Field(default="", description="a text, or token ids; empty starts a new text")
    max_tokens: int = Field(default=256, ge=1, le=2**31 - 1, description="the server's own limit holds")
    temperature: float = Field(default=1.0, ge=0, le=100, description="0 takes the most likely token")
    top_k: int = Field(default=0, ge=0, le=2**31 - 1, description="0 keeps every token")
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=SEEDS, description="left out, drawn and reported")
    stop: Annotated[str | list[str], OneOrMany(max_items=HARD_MAX_STOP, min_items=0, max_length=1_000)] = (
        Field(default_factory=list, description="the text ends before any of these")
    )
    n: int = Field(default=1, ge=1, le=2**31 - 1, description="how many texts")
    logprobs: int | None = Field(
        default=None, ge=0, le=20, description="give each token's log-probability, and this many alternatives"
    )
    stream: bool = Field(default=False, description="answer with server-sent events")
    model: ModelReference = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop


class Alternative(Answer):
    """A token that could have been drawn."""

    token: str
    logprob: float


class TokenLogprob(Answer):
    """A token that was drawn, under the model's unmodified distribution."""

    token: str
    start: int = Field(description="where its text begins in the text of its choice, in characters")
    logprob: float
    top: list[Alternative] = Field(description="most likely first")


class Usage(Answer):
    """Tokens consumed and produced, over all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Choice(Answer):
    """One of the ``n`` texts."""

    text: str
    finish_reason: FinishReason
    logprobs: list[TokenLogprob] | None = None


class TextAnswer(Answer):
    """The whole answer."""

    model: str
    choices: list[Choice]
    usage: Usage
    seed: int = Field(description="the same request with this seed gives the same text")


class TokenFrame(Answer):
    """All that one choice has produced since its last frame."""

    type: Literal["token"] = "token"
    text: str
    index: int = Field(description="position of the frame's first token in its choice")
    choice: int = Field(default=0, description="which of the n texts")
    logprobs: list[TokenLogprob] | None = None


class DoneFrame(Answer):
    """The generation ended well."""

    type: Literal["done"] = "done"
    finish_reason: FinishReason = Field(description="of the first choice")
    finish_reasons: list[FinishReason] = Field(description="of each choice")
    usage: Usage
    seed: int
    model: str


Frame = TokenFrame | DoneFrame
