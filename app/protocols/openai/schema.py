"""``/v1``: models and completions as the OpenAI API shapes them; ``top_k`` and what follows are vLLM's."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from app.core.schema import Answer, ModelReference, OneOrMany, Request
from app.tasks.decoded.schema import HARD_MAX_PROMPT, HARD_MAX_STOP, Usage

HARD_MAX_PROMPTS = 100_000
DEFAULT_MAX_TOKENS = 16

_Text = Annotated[str, Field(max_length=HARD_MAX_PROMPT)]
_Ids = Annotated[list[int], Field(min_length=1, max_length=HARD_MAX_PROMPT, fail_fast=True)]
_FORMS: dict[type, str] = {str: "texts", int: "token_ids", list: "token_id_lists"}


def _form(value: Any) -> str | None:
    """Which of its four forms a prompt has, told by its first element."""
    if isinstance(value, str):
        return "text"
    return _FORMS.get(type(value[0])) if isinstance(value, list) and value else None


Prompts = Annotated[
    Annotated[_Text, Tag("text")]
    | Annotated[
        Annotated[list[_Text], Field(min_length=1, max_length=HARD_MAX_PROMPTS, fail_fast=True)], Tag("texts")
    ]
    | Annotated[_Ids, Tag("token_ids")]
    | Annotated[
        Annotated[list[_Ids], Field(min_length=1, max_length=HARD_MAX_PROMPTS, fail_fast=True)],
        Tag("token_id_lists"),
    ],
    Discriminator(
        _form,
        custom_error_type="prompt_form",
        custom_error_message="should be a text, a list of texts, a list of token ids, or a list of those",
    ),
]


def _only(*neutral: object) -> AfterValidator:
    """Take a parameter only at a value that changes nothing; its meaning is not offered here."""

    def check(value: object) -> object:
        if value not in neutral:
            raise PydanticCustomError(
                "unsupported",
                "is not supported here: leave it out, or send {value}",
                {"value": json.dumps(neutral[0])},
            )
        return value

    return AfterValidator(check)


class StreamOptions(Request):
    """What a stream holds besides text."""

    include_usage: bool | None = Field(
        default=None, description="a last chunk, without choices, has the usage"
    )
    include_obfuscation: bool | None = Field(default=None, description="ignored")


class CompletionRequest(Request):
    """What to continue, and how."""

    model: ModelReference = None
    prompt: Prompts | None = Field(default=None, description="left out or empty, a new text is started")
    max_tokens: int | None = Field(default=DEFAULT_MAX_TOKENS, ge=0, le=2**31 - 1)
    temperature: float | None = Field(default=1.0, ge=0, le=100, description="0 takes the most likely token")
    top_p: float | None = Field(default=1.0, gt=0, le=1)
    n: int | None = Field(default=1, ge=1, le=2**31 - 1, description="texts for each prompt")
    best_of: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="of so many, return the n most likely per token"
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(
        default=None, ge=0, le=20, description="and so many alternatives for each token"
    )
    echo: bool | None = Field(default=False, description="give the prompt back in front of the text")
    stop: Annotated[
        str | list[str] | None, OneOrMany(max_items=HARD_MAX_STOP, min_items=0, max_length=1_000)
    ] = Field(default_factory=list, description="the text ends before any of these")
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    user: str | None = Field(default=None, description="ignored")
    suffix: Annotated[str | None, _only("", None)] = None
    frequency_penalty: Annotated[float | None, _only(0, None)] = 0.0
    presence_penalty: Annotated[float | None, _only(0, None)] = 0.0
    logit_bias: Annotated[dict[str, float] | None, _only({}, None)] = None
    top_k: int | None = Field(default=0, ge=-1, le=2**31 - 1, description="0 and -1 keep every token")
    repetition_penalty: Annotated[float | None, _only(1, None)] = 1.0
    min_p: Annotated[float | None, _only(0, None)] = 0.0
    min_tokens: Annotated[int | None, _only(0, None)] = 0
    ignore_eos: Annotated[bool | None, _only(False, None)] = False

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        if self.prompt is None or isinstance(self.prompt, str):
            return [self.prompt or ""]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return self.prompt

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def candidates(self) -> int:
        return self.best_of or self.n or 1

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class CompletionLogprobs(Answer):
    """Tokens of a text, echoed prompt included, under the model's unmodified distribution."""

    tokens: list[str]
    token_logprobs: list[float | None] = Field(description="null for a first token, which nothing predicts")
    top_logprobs: list[dict[str, float] | None] = Field(description="the most likely, and the token itself")
    text_offset: list[int] = Field(description="where in the text each token begins, in characters")


class CompletionChoice(Answer):
    """One text, or in a stream what was added to it."""

    index: int = Field(description="texts of the first prompt come first")
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Completion(Answer):
    """The whole answer, or a chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(description="seconds since 1970")
    model: str = Field(description="`name@version` that answered")
    system_fingerprint: str = Field(description="changes when another graph answers")
    choices: list[CompletionChoice]
    usage: Usage | None = None


class OpenAIModel(Answer):
    """A model that completes text."""

    id: str = Field(description="`name`, `name@version` or `name@label`")
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since 1970")
    owned_by: str


class OpenAIModels(Answer):
    """Every model that completes text."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class OpenAIError(Answer):
    """What went wrong."""

    message: str
    type: str
    param: str | None = Field(description="the parameter that is wrong")
    code: str | None


class OpenAIErrorAnswer(Answer):
    """The body of every error under ``/v1``, and the last data of a stream that failed."""

    error: OpenAIError
