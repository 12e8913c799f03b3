"""Sentiment in the terms of Hugging Face's text-classification task.

logits --classified--> labels with scores, the most likely first
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.core.numbers import rounded, softmax
from app.tasks.sentiment.text_classification_schema import (
    ClassificationParameters,
    LabelScore,
    TextClassification,
    Transform,
)


def classified(
    labels: Sequence[str], outputs: Sequence[NDArray[np.float32]], parameters: ClassificationParameters | None
) -> TextClassification:
    """``outputs``: for each text, logits ``[steps read, labels]``; the last step counts."""
    asked = parameters or ClassificationParameters()
    only_first = asked.top_k is None and asked.return_all_scores is False
    top_k = 1 if only_first else asked.top_k
    found: list[list[LabelScore]] = []
    for logits in outputs:
        scores = rounded(_transformed(logits[-1], asked.function_to_apply or "softmax"))
        order = np.argsort(-scores, kind="stable")[:top_k]
        found.append(
            [
                LabelScore.model_construct(label=labels[index], score=float(scores[index]))
                for index in order.tolist()
            ]
        )
    return TextClassification.model_construct(found)


def _transformed(logits: NDArray[np.float32], function: Transform) -> NDArray[np.float64]:
    if function == "softmax":
        return softmax(logits)
    wide = logits.astype(np.float64)
    # The logistic function by way of tanh, which does not overflow.
    return wide if function == "none" else 0.5 * (1.0 + np.tanh(0.5 * wide))
