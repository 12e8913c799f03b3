"""``POST /translate`` and ``WS /translate``: texts in one language in, the same in another out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel

from app.core.schema import Answer, ModelReference, Request
from app.tasks.decoded.beams import (
    BeamLimits,
    BeamOptions,
    Beams,
    Ending,
    LengthPenalty,
    MaxTokens,
    NoRepeat,
    OtherText,
)
from app.tasks.decoded.draft import PartFrame
from app.tasks.decoded.schema import Usage
from app.tasks.translate.languages import AUTO

HARD_MAX_TEXTS = 100_000
HARD_MAX_CHARS = 10_000_000
LENGTH_PENALTY = 1.0
NO_REPEAT = 6


class TranslateLimits(BeamLimits):
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


class TranslateRequest(BeamOptions, Request):
    """Texts are cut into sentences, each translated by itself. Line breaks stay where they are."""

    text: Texts
    source: Code | None = Field(default=None, description=f"left out or `{AUTO}`: told by the text's words")
    target: Code | None = Field(default=None, description="left out where there is only one direction")
    length_penalty: LengthPenalty = LENGTH_PENALTY
    no_repeat_ngram: NoRepeat = NO_REPEAT
    max_tokens: Annotated[
        MaxTokens, Field(description="of a sentence; left out, twice those of its source and 16")
    ] = None
    prefix: str = Field(default="", max_length=10_000, description="what the translation begins with")
    alignments: bool = Field(default=False, description="give what each word was translated from")

    @property
    def texts(self) -> list[str]:
        return self.text


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


class Translation(Answer):
    """Of one text; ``score`` is the sum over its sentences."""

    text: str
    score: float | None = Field(
        default=None, description="log-probability by the length penalty; a stream has none"
    )
    finish_reason: Ending
    source: str
    target: str
    detected: Detected | None = None
    alternatives: list[OtherText] | None = None
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
    num_beams: Beams = None
    max_new_tokens: MaxTokens = None


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
