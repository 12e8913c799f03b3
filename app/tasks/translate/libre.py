"""LibreTranslate's API below ``/libretranslate/``, as its clients send it: JSON, or fields of a form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel

from app.core.beam import BeamResult
from app.core.errors import InvalidInput, over_limit
from app.core.schema import Answer, ModelReference
from app.tasks.decoded.beams import BEAMS, HARD_MAX_BEAMS
from app.tasks.model import Prepared
from app.tasks.task import BodyReader, Operation
from app.tasks.translate.languages import AUTO
from app.tasks.translate.model import PreparedTranslation, TranslateModel
from app.tasks.translate.schema import (
    HARD_MAX_CHARS,
    HARD_MAX_TEXTS,
    TranslateAnswer,
    TranslateRequest,
    Translation,
)

FORM = "application/x-www-form-urlencoded"
_NAMES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "nl": "Dutch"}
_Text = Annotated[str, Field(max_length=HARD_MAX_CHARS)]


def _one_or_many(value: object) -> object:
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in listed):
        raise InvalidInput("q", "should be a string, or a list of strings")
    return value


def _text_only(value: object) -> object:
    if value == "html":
        raise InvalidInput("format", "HTML is not translated; send its plain text", allowed=["text"])
    return value


class LibreRequest(BaseModel):
    """Unknown fields are passed over, as LibreTranslate does; ``api_key`` is for its own servers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model: ModelReference = None
    api_key: str | None = None


class LibreTranslateRequest(LibreRequest):
    q: Annotated[_Text | list[_Text], BeforeValidator(_one_or_many), Field(description="a text, or several")]
    source: str = Field(max_length=16)
    target: str = Field(max_length=16)
    format: Annotated[Literal["text"], BeforeValidator(_text_only)] = Field(
        default="text", description="HTML is not translated"
    )
    alternatives: int = Field(default=0, ge=0, lt=HARD_MAX_BEAMS)

    @property
    def texts(self) -> list[str]:
        return [self.q] if isinstance(self.q, str) else self.q


class LibreDetectRequest(LibreRequest):
    q: _Text


class LibreLanguagesRequest(LibreRequest):
    """Asks for nothing."""


class LibreGuess(Answer):
    language: str
    confidence: float = Field(description="0 to 100")


class LibreTranslation(Answer):
    """Each is a list where ``q`` is one. What was not asked for is left out."""

    translatedText: str | list[str]
    detectedLanguage: LibreGuess | list[LibreGuess] | None = None
    alternatives: list[str] | list[list[str]] | None = None


class LibreGuesses(RootModel[list[LibreGuess]]):
    """The likeliest first."""


class LibreLanguage(Answer):
    code: str
    name: str
    targets: list[str]


class LibreLanguages(RootModel[list[LibreLanguage]]):
    pass


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedLibre(Prepared):
    request: LibreTranslateRequest
    plain: PreparedTranslation


class LibreTranslator:
    """See :class:`app.tasks.model.Answering`."""

    def __init__(self, model: TranslateModel) -> None:
        self._model = model

    def milliseconds(self, request: LibreTranslateRequest) -> float:
        return sum(map(len, request.texts)) / 1000

    def prepare(self, request: LibreTranslateRequest) -> PreparedLibre:
        if len(request.texts) > HARD_MAX_TEXTS:
            raise over_limit("q", HARD_MAX_TEXTS, f"a request may hold at most {HARD_MAX_TEXTS} texts")
        n, most = 1 + request.alternatives, self._model.limits["max_beams"]
        if n > most:
            raise over_limit("alternatives", most - 1, f"at most {most - 1} alternatives, got {n - 1}")
        asked = TranslateRequest(
            text=request.texts or [""],
            source=request.source,
            target=request.target,
            beams=min(max(n, BEAMS), most),
            n=n,
            model=request.model,
        )
        plain = self._model.prepare_as("q", asked, asked)
        return PreparedLibre(
            blocks=plain.blocks,
            members=plain.members,
            num_tokens=plain.num_tokens,
            sources=plain.sources,
            begin=plain.begin,
            request=request,
            plain=plain,
        )

    def finish(self, prepared: PreparedLibre, outputs: Sequence[BeamResult]) -> LibreTranslation:
        request = prepared.request
        plain = self._model.finish(prepared.plain, outputs)
        assert isinstance(plain, TranslateAnswer)
        found = plain.translations[: len(request.texts)]
        guesses = [
            LibreGuess(
                language=item.source, confidence=100 * item.detected.confidence if item.detected else 100.0
            )
            for item in found
        ]
        others = [_others(item) for item in found]
        several = isinstance(request.q, list)
        answer: dict[str, Any] = {
            "translatedText": [item.text for item in found] if several else found[0].text
        }
        if request.source == AUTO:
            answer["detectedLanguage"] = guesses if several else guesses[0]
        if request.alternatives:
            answer["alternatives"] = others if several else others[0]
        return LibreTranslation.made(**answer)


def _others(found: Translation) -> list[str]:
    """Of several sentences some alternatives may be the same text."""
    texts = [found.text, *(other.text for other in found.alternatives or ())]
    return list(dict.fromkeys(texts))[1:]


@dataclass(frozen=True, slots=True)
class Told:
    """Answers from what the model knows of languages; the network is not asked."""

    tell: Callable[[Any], BaseModel]

    def milliseconds(self, request: LibreRequest) -> float:
        return 0.0

    def prepare(self, request: LibreRequest) -> PreparedTold:
        return PreparedTold(blocks=[], members=[], answer=self.tell(request))

    def finish(self, prepared: PreparedTold, outputs: Sequence[BeamResult]) -> BaseModel:
        return prepared.answer


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedTold(Prepared):
    answer: BaseModel


def _detect(model: TranslateModel) -> Told:
    def tell(request: LibreDetectRequest) -> LibreGuesses:
        found = model.languages.guess(request.q)
        return LibreGuesses(
            [LibreGuess(language=code, confidence=round(100 * sure, 1)) for code, sure in found]
        )

    return Told(tell)


def _languages(model: TranslateModel) -> Told:
    def tell(request: LibreLanguagesRequest) -> LibreLanguages:
        known = model.languages
        return LibreLanguages(
            [
                LibreLanguage(
                    code=code,
                    name=_NAMES.get(code, code),
                    targets=[target for source, target in known.directions if source == code],
                )
                for code in known.codes
            ]
        )

    return Told(tell)


def _form(kind: type[LibreRequest]) -> BodyReader:
    def read(body: bytes, query: object, limits: object) -> LibreRequest:
        try:
            fields = parse_qs(
                body.decode(), keep_blank_values=True, max_num_fields=1000, strict_parsing=bool(body)
            )
        except ValueError as error:
            raise InvalidInput("body", f"the form cannot be read: {error}") from error
        return kind.model_validate(
            {
                name: values if name == "q" and len(values) > 1 else values[-1]
                for name, values in fields.items()
            },
            strict=False,
        )

    return BodyReader(name="form", media_types=(FORM,), read=read)


OPERATIONS = (
    Operation(
        path="/libretranslate/translate",
        doc="Translate as LibreTranslate does. `q` is a text or several.",
        request=LibreTranslateRequest,
        answer=LibreTranslation,
        of=LibreTranslator,
        reads=(_form(LibreTranslateRequest),),
        examples={
            "text": {"summary": "A text", "value": {"q": "A dog runs.", "source": "en", "target": "de"}},
        },
    ),
    Operation(
        path="/libretranslate/detect",
        doc="Tell the language of a text.",
        request=LibreDetectRequest,
        answer=LibreGuesses,
        of=_detect,
        reads=(_form(LibreDetectRequest),),
        examples={"text": {"summary": "A text", "value": {"q": "Ein Hund läuft."}}},
    ),
    Operation(
        path="/libretranslate/languages",
        doc="Languages, each with what it goes to.",
        request=LibreLanguagesRequest,
        answer=LibreLanguages,
        of=_languages,
        fetched=True,
    ),
)
