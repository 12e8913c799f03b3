"""``POST /translate`` and ``WS /translate``: texts in one language in, the same in another out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel, model_validator

from app.core.errors import InvalidInput
from app.core.schema import Answer, ModelReference, Request
from app.features.text import TextLimits
from app.tasks.decoded.schema import Usage
from app.tasks.translate.languages import AUTO

HARD_MAX_TEXTS = 100_000
HARD_MAX_CHARS = 10_000_000
BEAMS = 4
LENGTH_PENALTY = 1.0
NO_REPEAT = 6
HARD_MAX_BEAMS = 64
FinishReason = Literal["end", "length", "stopped"]
"""``end``: the sentence is over; ``length``: max_tokens reached; ``stopped``: by the client."""


class TranslateLimits(TextLimits):
    max_beams: int = Field(16, ge=1, le=HARD_MAX_BEAMS, description="beams of one sentence")
    max_sentences: int = Field(2_000, ge=1, le=100_000, description="sentences of one request")


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(max_length=HARD_MAX_CHARS)]
Code = Annotated[str, Field(max_length=16, description="of a language, such as `en`")]
Texts = Annotated[
    list[Text],
    BeforeValidator(_texts, json_schema_input_type=Text | list[Text]),
    Field(
        min_length=1, max_length=HARD_MAX_TEXTS, description="one text or several; an empty one stays empty"
    ),
]


class TranslateRequest(Request):
    """Texts are cut into sentences, each translated by itself. Line breaks stay where they are."""

    text: Texts
    source: Code | None = Field(default=None, description=f"left out or `{AUTO}`: told by the text's words")
    target: Code | None = Field(default=None, description="left out where there is only one direction")
    beams: int | None = Field(
        default=None,
        ge=1,
        le=HARD_MAX_BEAMS,
        description=f"hypotheses of a sentence that advance together; left out, {BEAMS}, of a stream 1",
    )
    n: int = Field(
        default=1, ge=1, le=HARD_MAX_BEAMS, description="translations of each text, at most `beams`"
    )
    length_penalty: float = Field(
        default=LENGTH_PENALTY,
        ge=0,
        le=5,
        description="exponent of Wu et al. 2016: more than 1 prefers long ones",
    )
    no_repeat_ngram: int = Field(
        default=NO_REPEAT,
        ge=0,
        le=100,
        description="so many tokens in a row occur once in a sentence; 0: at will",
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=4096, description="of a sentence; left out, twice those of its source and 16"
    )
    prefix: str = Field(default="", max_length=10_000, description="what the translation begins with")
    alignments: bool = Field(default=False, description="give what each word was translated from")
    stream: bool = Field(default=False, description="answer with server-sent events")
    model: ModelReference = None

    @property
    def texts(self) -> list[str]:
        return self.text

    @property
    def width(self) -> int:
        return self.beams or (1 if self.stream else max(BEAMS, self.n))

    @model_validator(mode="after")
    def _fits(self) -> TranslateRequest:
        if self.n > self.width:
            raise InvalidInput(
                "n", f"of {self.width} beams there are no {self.n} translations", allowed={"max": self.width}
            )
        return self


class Alignment(Answer):
    """What each token of a translation was made from, by the network's attention.

    ``weights[i][j]``: how much of token ``i`` of the translation is due to token ``j`` of the text. Rows sum
    to one. The end of each sentence is a token as well, without characters.
    """

    source: list[tuple[int, int]] = Field(description="characters of each token in the text, half-open")
    target: list[tuple[int, int]] = Field(description="the same in the translation")
    weights: list[list[float]]


class Detected(Answer):
    """The language of a text, told by its words."""

    language: str
    confidence: float


class OtherTranslation(Answer):
    """Another translation, less likely."""

    text: str
    score: float


class Translation(Answer):
    """Of one text; ``score`` is the sum over its sentences."""

    text: str
    score: float | None = Field(
        default=None, description="log-probability by the length penalty; a stream has none"
    )
    finish_reason: FinishReason
    source: str
    target: str
    detected: Detected | None = None
    alternatives: list[OtherTranslation] | None = None
    alignment: Alignment | None = None
    coverage: float | None = Field(
        default=None, description="share of the source that was attended to, 0 to 1"
    )
    warning: str | None = None


class TranslateAnswer(Answer):
    """Translations in the order of the texts."""

    model: str
    translations: list[Translation]
    usage: Usage


class PartFrame(Answer):
    """What one translation has gained since its last frame."""

    type: Literal["token"] = "token"
    text: str
    index: int = Field(description="which of the texts")


class TranslationsFrame(Answer):
    """All translations have ended well."""

    type: Literal["done"] = "done"
    model: str
    translations: list[Translation]
    usage: Usage


Frame = PartFrame | TranslationsFrame


class HuggingFaceParameters(Request):
    """Of Hugging Face's translation task."""

    src_lang: str | None = None
    tgt_lang: str | None = None
    clean_up_tokenization_spaces: bool | None = Field(default=None, description="ignored: there are none")
    truncation: str | None = Field(default=None, description="ignored: a text is never cut")
    generate_parameters: dict[str, Any] | None = None
    num_beams: int | None = Field(default=None, ge=1, le=HARD_MAX_BEAMS)
    max_new_tokens: int | None = Field(default=None, ge=1, le=4096)


class HuggingFaceRequest(Request):
    """``inputs`` in the place of ``text``."""

    inputs: Texts
    parameters: HuggingFaceParameters | None = None
    options: dict[str, Any] | None = Field(
        default=None, description="ignored: nothing is cached or loaded here"
    )
    model: ModelReference = None
    stream: Literal[False] = False

    @property
    def texts(self) -> list[str]:
        return self.inputs

    def plain(self) -> TranslateRequest:
        asked = self.parameters or HuggingFaceParameters()
        more = asked.generate_parameters or {}
        return TranslateRequest(
            text=self.inputs,
            source=asked.src_lang,
            target=asked.tgt_lang,
            beams=asked.num_beams or more.get("num_beams"),
            max_tokens=asked.max_new_tokens or more.get("max_new_tokens"),
            model=self.model,
        )


class HuggingFaceTranslation(Answer):
    translation_text: str


class HuggingFaceAnswer(RootModel[list[HuggingFaceTranslation]]):
    """In the order of the texts."""
