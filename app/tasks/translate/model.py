"""Translation by one bundle: each sentence is read whole, then the likeliest translations are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.bundle.reader import Bundle
from app.core.beam import BeamRequest, BeamResult
from app.core.errors import InvalidInput, over_limit
from app.core.sequence import Encoded, SequenceRequest
from app.features.text import check_text, codec_of, milliseconds_to_encode
from app.tasks.decoded.beams import Decoder, check_beams, check_stream, streamed
from app.tasks.model import Prepared, StreamStart
from app.tasks.translate.answers import Answers
from app.tasks.translate.assembler import TranslationAssembler
from app.tasks.translate.languages import Guess, Languages
from app.tasks.translate.schema import (
    HuggingFaceAnswer,
    HuggingFaceRequest,
    HuggingFaceTranslation,
    TranslateLimits,
    TranslateRequest,
)
from app.tasks.translate.sentences import Span, sentences, trimmed
from app.tasks.translate.session import PrefixSession
from app.tasks.translate.spec import TranslateSpec
from app.tasks.translate.tensors import translate_tensors

_SPARE_TOKENS = 16

Requests = TranslateRequest | HuggingFaceRequest


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """A sentence to translate.

    Attributes:
        tokens: for the encoder, the end included.
        spans: characters of the text that each token but the end is made of.
        steps: what its translation goes on from: the language's token, and a prefix.
        max_tokens: of its translation, where the request says nothing.
    """

    span: Span
    tokens: NDArray[np.int64]
    spans: list[Span]
    steps: NDArray[np.int64]
    max_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class SourceText:
    """A text, which of its languages is translated into which, and its sentences."""

    text: str
    source: str
    target: str
    guess: Guess | None
    warning: str | None
    sentences: list[Sentence]


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedTranslation(Prepared):
    request: Requests
    texts: list[SourceText]


class TranslateModel:
    """See :class:`app.tasks.model.StreamingModel` and :class:`~app.tasks.model.AnsweringModel`."""

    def __init__(self, bundle: Bundle, limits: TranslateLimits) -> None:
        manifest = bundle.manifest
        self._spec = spec = manifest.spec_as(TranslateSpec)
        self._limits = limits
        self.codec = codec_of(bundle, spec.vocabulary)
        self.languages = Languages(spec)
        self._answers = Answers(manifest.reference, self.codec)
        self.session = PrefixSession(spec, self.codec, self.languages, limits)
        self.tensors = translate_tensors(manifest.reference, spec, limits)
        self.inputs = {
            "languages": [language.code for language in spec.languages],
            "directions": spec.pairs,
            "vocabulary": spec.vocabulary,
        }
        self.limits = {
            "max_texts": limits.max_texts,
            "max_text_chars": limits.max_text_chars,
            "max_sentences": limits.max_sentences,
            "max_sentence_tokens": spec.max_tokens,
            "max_beams": limits.max_beams,
        }
        starts = tuple(language.start_token for language in spec.languages)
        self._decoder = Decoder(self.codec, starts, spec.end_token)

    def milliseconds(self, request: Requests) -> float:
        return milliseconds_to_encode(sum(map(len, request.texts)))

    def prepare(self, request: Requests) -> PreparedTranslation:
        if isinstance(request, HuggingFaceRequest):
            return self.prepare_as("inputs", request.plain(), request)
        return self.prepare_as("text", request, request)

    def prepare_as(self, field: str, asked: TranslateRequest, request: Requests) -> PreparedTranslation:
        """``field``: where the client's own request has its texts."""
        texts = self._texts(asked, field)
        wanted = [sentence for text in texts for sentence in text.sentences]
        return PreparedTranslation(
            blocks=[],
            members=[[index] for index in range(len(wanted))],
            num_tokens=sum(len(sentence.tokens) for sentence in wanted),
            sources=[sentence.tokens for sentence in wanted],
            begin=partial(self._searches, asked, wanted),
            request=request,
            texts=texts,
        )

    def finish(self, prepared: PreparedTranslation, outputs: Sequence[BeamResult]) -> BaseModel:
        """``outputs``: of each sentence the best hypotheses."""
        request = prepared.request
        if isinstance(request, HuggingFaceRequest):
            answer = self._answers.whole(request.plain(), prepared.texts, outputs)
            found = [HuggingFaceTranslation(translation_text=item.text) for item in answer.translations]
            return HuggingFaceAnswer(found)
        return self._answers.whole(request, prepared.texts, outputs)

    def start(self, request: Requests, point: None = None) -> StreamStart:
        """The likeliest token at each step, given out as it comes."""
        if isinstance(request, HuggingFaceRequest):
            request = request.plain()
        check_stream(request)
        if request.alignments:
            raise InvalidInput("alignments", "a stream has none; ask for the whole answer")
        texts = self._texts(request, "text")
        wanted = [sentence for text in texts for sentence in text.sentences]
        if not wanted:
            raise InvalidInput("text", "there is no word to translate, so there is nothing to stream")
        return StreamStart(
            sequences=[],
            assembler=TranslationAssembler(self.codec, self._answers, texts),
            sources=[sentence.tokens for sentence in wanted],
            begin=partial(self._sequences, request, wanted),
        )

    def _texts(self, request: TranslateRequest, field: str) -> list[SourceText]:
        """Raises InvalidInput, which names the text."""
        limits, several = self._limits, len(request.texts) > 1
        if len(request.texts) > limits.max_texts:
            most = limits.max_texts
            raise over_limit(
                field, most, f"a request may hold at most {most} texts, got {len(request.texts)}"
            )
        check_beams(request, limits)
        found, count = [], 0
        for index, text in enumerate(request.texts):
            name = f"{field}.{index}" if several else field
            check_text(name, text, limits)
            found.append(self._text(request, text, name))
            count += len(found[-1].sentences)
            if count > limits.max_sentences:
                most = limits.max_sentences
                raise over_limit(name, most, f"a request may hold at most {most} sentences")
        return found

    def _text(self, request: TranslateRequest, text: str, field: str) -> SourceText:
        spans = sentences(text)
        if not spans:
            source, target = self._named(request)
            return SourceText(text, source, target, None, None, [])
        source, target, guess = self.languages.choose(text, field, request.source, request.target)
        prefix = self._prefix(request, len(spans))
        steps = np.array([self._spec.start(target), *prefix], np.int64)
        made = [self._sentence(text, span, steps, field) for span in spans]
        return SourceText(text, source, target, guess, self.languages.warning(text, source), made)

    def _named(self, request: TranslateRequest) -> tuple[str, str]:
        """The languages of a text without words; a direction that is named has to be known all the same."""
        known = self._spec.directions
        for source, target in known:
            if request.source in (None, "auto", source) and request.target in (None, target):
                return source, target
        source, target, _ = self.languages.choose("", "text", request.source, request.target)
        return source, target

    def _prefix(self, request: TranslateRequest, count: int) -> list[int]:
        if not request.prefix:
            return []
        if count > 1 or len(request.texts) > 1:
            raise InvalidInput("prefix", "a prefix begins the translation of one sentence; send it alone")
        check_text("prefix", request.prefix, self._limits)
        prefix = self.codec.encode(request.prefix)
        if len(prefix) > self._spec.max_tokens:
            most = self._spec.max_tokens
            raise over_limit("prefix", most, f"the prefix has {len(prefix)} tokens, more than {most}")
        return prefix

    def _sentence(self, text: str, span: Span, steps: NDArray[np.int64], field: str) -> Sentence:
        ids, offsets = self.codec.encode_with_offsets(text[span.start : span.end])
        most = self._spec.max_tokens
        if len(ids) > most:
            raise over_limit(
                field,
                most,
                f"the sentence that begins {text[span.start : span.start + 24]!r} has {len(ids)} tokens, "
                f"and the model reads {most}; end sentences with a full stop or a line break",
            )
        spans = [trimmed(text, span.start + start, span.start + end) for start, end in offsets]
        tokens = np.array([*ids, self._spec.end_token], np.int64)
        return Sentence(span, tokens, spans, steps, 2 * len(ids) + _SPARE_TOKENS)

    def _searches(
        self, request: TranslateRequest, wanted: list[Sentence], encoded: Sequence[Encoded]
    ) -> list[BeamRequest]:
        attention = request.alignments and self._spec.attention
        return [
            self._decoder.search(
                request, sentence.steps, source, max_tokens=sentence.max_tokens, attention=attention
            )
            for sentence, source in zip(wanted, encoded, strict=True)
        ]

    def _sequences(
        self, request: TranslateRequest, wanted: list[Sentence], encoded: Sequence[Encoded]
    ) -> list[SequenceRequest]:
        return list(map(streamed, self._searches(request, wanted, encoded)))
