"""Sentiment in the terms of Hugging Face's text-classification task.

TextClassificationRequest --as_sentiment--> SentimentRequest --SentimentTask--> logits
logits --classified--> labels with scores, the most likely first
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.tasks.sentiment.schema import SentimentRequest
from app.tasks.sentiment.task import softmax
from app.tasks.sentiment.text_classification_schema import (
    ClassificationParameters,
    LabelScore,
    TextClassification,
    TextClassificationRequest,
    Transform,
)


def as_sentiment(request: TextClassificationRequest) -> SentimentRequest:
    """The same texts as a native request."""
    # Checked already, with the same bounds.
    return SentimentRequest.model_construct(text=request.texts, trace=False, model=request.model)


def classified(
    labels: Sequence[str], outputs: Sequence[NDArray[np.float32]], parameters: ClassificationParameters | None
) -> TextClassification:
    """The answer.

    Args:
        labels: of the classifier, in the order of its logits.
        outputs: per text, logits ``[steps read, labels]``; the last step counts.
        parameters: of the request.
    """
    asked = parameters or ClassificationParameters()
    found: list[list[LabelScore]] = []
    for logits in outputs:
        scores = np.round(_transformed(logits[-1], asked.function_to_apply or "softmax"), 6)
        order = np.argsort(-scores, kind="stable")[: asked.top_k]
        found.append(
            [
                LabelScore.model_construct(label=labels[one], score=float(scores[one]))
                for one in order.tolist()
            ]
        )
    return TextClassification.model_construct(found)


def _transformed(logits: NDArray[np.float32], function: Transform) -> NDArray[np.float64]:
    if function == "softmax":
        return softmax(logits)
    wide = logits.astype(np.float64)
    # The logistic function by way of tanh, which does not overflow.
    return wide if function == "none" else 0.5 * (1.0 + np.tanh(0.5 * wide))
