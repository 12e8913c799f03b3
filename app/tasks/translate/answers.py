"""Hypotheses of sentences to translations of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.core.beam import BeamResult, Hypothesis
from app.core.numbers import rounded
from app.core.sequence import FinishReason
from app.features.text import TextCodec
from app.tasks.decoded.beams import ENDINGS, Ending, OtherText, score_of, usage_of
from app.tasks.decoded.schema import Usage
from app.tasks.translate.schema import Alignment, Detected, TranslateAnswer, TranslateRequest, Translation
from app.tasks.translate.sentences import Span, joined, trimmed

if TYPE_CHECKING:
    from app.tasks.translate.model import Sentence, SourceText


class Answers:
    """Of one model, ``name@version``."""

    def __init__(self, reference: str, codec: TextCodec) -> None:
        self.reference = reference
        self._codec = codec

    def whole(
        self, request: TranslateRequest, texts: Sequence[SourceText], found: Sequence[BeamResult]
    ) -> TranslateAnswer:
        """``found``: of all sentences, in order."""
        rest = iter(found)
        translations = [
            self._translation(request, text, list(islice(rest, len(text.sentences)))) for text in texts
        ]
        prefix = len(texts[0].sentences[0].steps) - 1 if request.prefix and texts[0].sentences else 0
        produced = prefix + sum(len(result.hypotheses[0].tokens) for result in found)
        return TranslateAnswer.model_construct(
            model=self.reference, translations=translations, usage=usage(texts, produced)
        )

    def _translation(
        self, request: TranslateRequest, text: SourceText, found: Sequence[BeamResult]
    ) -> Translation:
        best = [result.hypotheses[0] for result in found]
        whole, places = self._text(text, best)
        alternatives = None
        if request.n > 1:
            # Where a sentence has fewer translations, its last one stays.
            others = [
                [result.hypotheses[min(rank, len(result.hypotheses) - 1)] for result in found]
                for rank in range(1, max((len(result.hypotheses) for result in found), default=1))
            ]
            alternatives = [
                OtherText.model_construct(text=self._text(text, other)[0], score=score_of(other))
                for other in others
            ]
        aligned = request.alignments and all(hypothesis.attention is not None for hypothesis in best)
        alignment = self._alignment(text, best, whole, places) if aligned else None
        return Translation.model_construct(
            text=whole,
            score=score_of(best),
            finish_reason=told(hypothesis.reason for hypothesis in best),
            source=text.source,
            target=text.target,
            detected=detected(text),
            alternatives=alternatives,
            alignment=alignment,
            coverage=coverage(text, best) if aligned else None,
            warning=text.warning,
        )

    def _text(self, text: SourceText, best: Sequence[Hypothesis]) -> tuple[str, list[Span]]:
        made = [
            self._codec.decode([*sentence.steps[1:].tolist(), *hypothesis.tokens])
            for sentence, hypothesis in zip(text.sentences, best, strict=True)
        ]
        return joined(text.text, [sentence.span for sentence in text.sentences], made)

    def _alignment(
        self, text: SourceText, best: Sequence[Hypothesis], whole: str, places: Sequence[Span]
    ) -> Alignment:
        sources: list[tuple[int, int]] = []
        targets: list[tuple[int, int]] = []
        rows: list[list[float]] = []
        width = sum(len(sentence.tokens) for sentence in text.sentences)
        for sentence, hypothesis, place in zip(text.sentences, best, places, strict=True):
            prefix = sentence.steps[1:].tolist()
            spans = self._places([*prefix, *hypothesis.tokens], whole, place.start)[len(prefix) :]
            before = len(sources)
            for span, weights in zip(
                spans, rounded(_attention(sentence, hypothesis).astype(np.float64)).tolist(), strict=True
            ):
                targets.append(span)
                rows.append([0.0] * before + weights + [0.0] * (width - before - len(weights)))
            sources += [*sentence.spans, Span(sentence.span.end, sentence.span.end)]
        return Alignment.model_construct(source=sources, target=targets, weights=rows)

    def _places(self, tokens: Sequence[int], whole: str, start: int) -> list[Span]:
        """Characters of each token; a part of a character has none until the one that completes it."""
        decoded, spans = self._codec.stream(), []
        for token in tokens:
            end = start + len(decoded(token))
            spans.append(trimmed(whole, start, end))
            start = end
        return spans


def told(reasons: Iterable[FinishReason]) -> Ending:
    """``length`` where one sentence was cut off."""
    return "length" if any(ENDINGS[item] == "length" for item in reasons) else "end"


def detected(text: SourceText) -> Detected | None:
    guess = text.guess
    if guess is None:
        return None
    return Detected.model_construct(
        language=guess.code, confidence=float(rounded(np.array(guess.confidence)))
    )


def coverage(text: SourceText, found: Sequence[Hypothesis]) -> float:
    """Mean over the tokens of the sources, ends left out, of what attended to each, at most one."""
    taken = [
        np.minimum(1.0, _attention(sentence, hypothesis).sum(axis=0, dtype=np.float64)[:-1])
        for sentence, hypothesis in zip(text.sentences, found, strict=True)
    ]
    every = np.concatenate([*taken, np.empty(0)])
    return float(rounded(every.mean())) if len(every) else 1.0


def _attention(sentence: Sentence, hypothesis: Hypothesis) -> NDArray[np.float32]:
    """``[tokens, tokens of the source]``: what is behind those is padding."""
    assert hypothesis.attention is not None
    return hypothesis.attention[:, : len(sentence.tokens)]


def usage(texts: Sequence[SourceText], produced: int) -> Usage:
    supplied = sum(len(sentence.tokens) for text in texts for sentence in text.sentences)
    return usage_of(supplied, produced)
