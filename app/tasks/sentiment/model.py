"""Sentiment on one classifier: a text's tokens are one sequence whose last step's logits are the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.bundle.reader import Bundle
from app.core.errors import InvalidInput, over_limit
from app.core.numbers import rounded, softmax
from app.core.sequence import Read
from app.features.text import TextLimits, check_text, codec_of, milliseconds_to_encode
from app.tasks.model import Prepared, blocks_of
from app.tasks.sentiment.doubt import count_unknown, warning
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest, SentimentResult, TracePoint
from app.tasks.sentiment.session import LabelSession
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.sentiment.tensors import sentiment_tensors
from app.tasks.sentiment.text_classification import TextClassificationRequest, classified

SentimentRequests = SentimentRequest | TextClassificationRequest


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedSentiment(Prepared):
    """A validated request.

    Attributes:
        spans: of the tokens of each text, when a trace is wanted.
        warnings: of each text; ``None`` where there is nothing to warn of.
    """

    request: SentimentRequests
    spans: list[list[tuple[int, int]]] | None
    warnings: list[str | None]


class SentimentModel:
    """See :class:`app.tasks.model.AnsweringModel`; raises BundleError for a bundle that does not fit."""

    def __init__(self, bundle: Bundle, limits: TextLimits) -> None:
        spec = bundle.manifest.spec_as(SentimentSpec)
        self.labels = spec.labels
        self._reference = bundle.manifest.reference
        self._codec = codec_of(bundle, spec.vocabulary)
        self._limits = limits
        self.session = LabelSession(spec, self._codec, limits)
        self.tensors = sentiment_tensors(self._reference, spec, limits)
        self.inputs = {"labels": spec.labels, "vocabulary": spec.vocabulary}
        self.limits = {
            "max_texts": limits.max_texts,
            "max_text_chars": limits.max_text_chars,
            "max_text_tokens": limits.max_prompt_tokens,
        }

    def milliseconds(self, request: SentimentRequests) -> float:
        return milliseconds_to_encode(sum(map(len, request.texts)))

    def prepare(self, request: SentimentRequests) -> PreparedSentiment:
        kept = None
        name = "text"
        if isinstance(request, TextClassificationRequest):
            name, kept = "inputs", request.kept_tokens
        texts = request.texts
        most = self._limits.max_texts
        if len(texts) > most:
            raise over_limit(name, most, f"a request may hold at most {most} texts, got {len(texts)}")
        steps: list[NDArray[np.generic]] = []
        spans: list[list[tuple[int, int]]] = []
        warnings: list[str | None] = []
        for index, text in enumerate(texts):
            ids, offsets = self._encode(text, name if len(texts) == 1 else f"{name}.{index}", kept)
            steps.append(np.array(ids, np.int64))
            spans.append(offsets)
            warnings.append(warning(count_unknown(self._codec, ids), len(ids)))
        trace = isinstance(request, SentimentRequest) and request.trace
        blocks, members = blocks_of(steps, Read.ALL if trace else Read.LAST)
        return PreparedSentiment(
            blocks=blocks,
            members=members,
            num_tokens=sum(map(len, steps)),
            request=request,
            spans=spans if trace else None,
            warnings=warnings,
        )

    def finish(self, prepared: PreparedSentiment, outputs: list[NDArray[np.float32]]) -> BaseModel:
        """In the shape of the request; ``outputs``: for each text logits ``[steps read, labels]``."""
        if isinstance(prepared.request, TextClassificationRequest):
            return classified(self.labels, outputs, prepared.request.parameters)
        results: list[SentimentResult] = []
        for index, logits in enumerate(outputs):
            table = softmax(logits)
            scores = self._scores(table[-1])
            label = self.labels[int(np.argmax(table[-1]))]
            trace = None
            if prepared.spans is not None:
                text = prepared.request.texts[index]
                trace = [
                    TracePoint.model_construct(
                        token=text[start:end], start=start, end=end, scores=self._scores(row)
                    )
                    for (start, end), row in zip(prepared.spans[index], table, strict=True)
                ]
            results.append(
                SentimentResult.model_construct(
                    label=label,
                    score=scores[label],
                    scores=scores,
                    trace=trace,
                    warning=prepared.warnings[index],
                )
            )
        return SentimentAnswer.model_construct(model=self._reference, results=results)

    def _encode(self, text: str, field: str, kept: int | None) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens and their spans; a text that is too long is cut to ``kept`` tokens, or else refused."""
        most = self._limits.max_prompt_tokens
        if kept is not None:
            text = text[: self._limits.max_text_chars]
        check_text(field, text, self._limits)
        ids, offsets = self._codec.encode_with_offsets(text)
        if not ids:
            raise InvalidInput(field, "the text holds no words; give at least one")
        if kept is not None:
            end = min(kept or most, most)
            return ids[:end], offsets[:end]
        if len(ids) > most:
            raise over_limit(field, most, f"the text has {len(ids)} tokens, more than {most}")
        return ids, offsets

    def _scores(self, row: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.labels, rounded(row).tolist(), strict=True))
