"""Sessions on a classifier: text or token ids in, the label so far after each token out.

The context counts the unknown tokens that a session has read, once there are some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.core.numbers import rounded, softmax
from app.features.text import TextCodec, TextInputs, TextLimits
from app.tasks.sentiment.doubt import count_unknown, warning
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output

_UNKNOWN = "unknown"


class LabelSession(TextInputs):
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, spec: SentimentSpec, codec: TextCodec, limits: TextLimits) -> None:
        super().__init__(codec, spec.vocabulary, limits)
        self._labels = spec.labels

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        ids = self.ids(inputs)
        unknown = context.get(_UNKNOWN, 0)
        told: list[tuple[int, str | None]] = []
        for read, token in enumerate(ids, start=step + 1):
            unknown += count_unknown(self._codec, [token])
            told.append((token, warning(unknown, read)))
        after = context | {_UNKNOWN: unknown} if unknown else context
        return EncodedInputs(np.array(ids, np.int64), tuple(range(len(ids))), after, told)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        if not calls:
            return []
        verdicts = softmax(np.concatenate([call.outputs for call in calls]))
        best = iter(np.argmax(verdicts, axis=-1).tolist())
        rows = iter(rounded(verdicts).tolist())
        return [
            [self._described(token, next(best), next(rows), said) for token, said in call.encoded.detail]
            for call in calls
        ]

    def _described(self, token: int, best: int, probabilities: list[float], warning: str | None) -> Output:
        described = {
            "token": self._codec.token(token),
            "label": self._labels[best],
            "score": probabilities[best],
            "scores": dict(zip(self._labels, probabilities, strict=True)),
        }
        return described if warning is None else described | {"warning": warning}
