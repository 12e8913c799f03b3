"""Sessions on a classifier: text or token ids in, the label so far after each token out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.core.numbers import rounded, softmax
from app.features.text import TextCodec, TextLimits, no_options, text_or_ids
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output


class LabelSession:
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, spec: SentimentSpec, codec: TextCodec, limits: TextLimits) -> None:
        self._spec = spec
        self._codec = codec
        self._limits = limits

    def open(self, options: Context) -> Context:
        return no_options(options)

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        ids = text_or_ids(inputs, self._codec, self._spec.vocabulary, self._limits)
        return EncodedInputs(np.array(ids, np.int64), tuple(range(len(ids))), context, ids)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        if not calls:
            return []
        verdicts = softmax(np.concatenate([call.outputs for call in calls]))
        best = iter(np.argmax(verdicts, axis=-1).tolist())
        rows = iter(rounded(verdicts).tolist())
        return [
            [self._described(token, next(best), next(rows)) for token in call.encoded.detail]
            for call in calls
        ]

    def _described(self, token: int, best: int, probabilities: list[float]) -> Output:
        labels = self._spec.labels
        return {
            "token": self._codec.token(token),
            "label": labels[best],
            "score": probabilities[best],
            "scores": dict(zip(labels, probabilities, strict=True)),
        }
