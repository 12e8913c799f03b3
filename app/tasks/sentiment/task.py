"""Sentiment: a text's tokens are one sequence whose last step's logits are the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Manifest
from app.core.errors import InvalidInput
from app.core.limits import Limits
from app.core.sequence import Read, SequenceRequest
from app.features.text import TextCodec
from app.features.text_checks import check_text
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest, SentimentResult, TracePoint
from app.tasks.sentiment.spec import SentimentSpec


@dataclass(frozen=True, slots=True, eq=False)
class PreparedSentiment:
    """A validated request: the sequences, and the spans of their tokens when a trace is wanted."""

    sequences: list[SequenceRequest]
    texts: list[str]
    spans: list[list[tuple[int, int]]] | None


class SentimentTask:
    """Requests and answers of one classifier.

    Args:
        manifest: of the bundle.
        codec: of the bundle's tokenizer.
        limits: what a request may ask for.

    Raises:
        InvalidManifest: the bundle is no classifier.
    """

    def __init__(self, manifest: Manifest, codec: TextCodec, limits: Limits) -> None:
        self.labels = manifest.spec_as(SentimentSpec).labels
        self._reference = manifest.reference
        self._codec = codec
        self._limits = limits

    def prepare(self, request: SentimentRequest, name: str = "text") -> PreparedSentiment:
        """Turn a request into sequences.

        Args:
            request: what to label.
            name: of the field that holds the texts, for errors.

        Raises:
            InvalidInput: too many texts, or one that is too long or holds no words.
        """
        texts = request.texts
        if len(texts) > self._limits.max_texts:
            raise InvalidInput(
                name,
                f"a request may hold at most {self._limits.max_texts} texts, got {len(texts)}",
                allowed={"max": self._limits.max_texts},
            )
        sequences: list[SequenceRequest] = []
        spans: list[list[tuple[int, int]]] = []
        for index, text in enumerate(texts):
            field = name if len(texts) == 1 else f"{name}.{index}"
            check_text(field, text, self._limits)
            ids, offsets = self._codec.encode_with_offsets(text)
            if not ids:
                raise InvalidInput(field, "the text holds no words; give at least one")
            if len(ids) > self._limits.max_prompt_tokens:
                raise InvalidInput(
                    field,
                    f"the text has {len(ids)} tokens, more than {self._limits.max_prompt_tokens}",
                    allowed={"max": self._limits.max_prompt_tokens},
                )
            read = Read.ALL if request.trace else Read.LAST
            sequences.append(SequenceRequest(np.array(ids, np.int64), read))
            spans.append(offsets)
        return PreparedSentiment(sequences, texts, spans if request.trace else None)

    def finish(self, prepared: PreparedSentiment, outputs: list[NDArray[np.float32]]) -> SentimentAnswer:
        """The answer.

        Args:
            prepared: the request.
            outputs: per text, logits ``[steps read, labels]``.
        """
        results: list[SentimentResult] = []
        for index, logits in enumerate(outputs):
            table = softmax(logits)
            scores = self._scores(table[-1])
            label = self.labels[int(np.argmax(table[-1]))]
            trace = None
            if prepared.spans is not None:
                text = prepared.texts[index]
                trace = [
                    TracePoint.model_construct(
                        token=text[start:end], start=start, end=end, scores=self._scores(row)
                    )
                    for (start, end), row in zip(prepared.spans[index], table, strict=True)
                ]
            results.append(
                SentimentResult.model_construct(label=label, score=scores[label], scores=scores, trace=trace)
            )
        return SentimentAnswer.model_construct(model=self._reference, results=results)

    def _scores(self, row: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.labels, np.round(row, 6).tolist(), strict=True))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    weights: NDArray[np.float64] = np.exp(shifted)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights
