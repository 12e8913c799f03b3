"""Texts as tensors: ``text [batch]`` of BYTES in; ``label [batch]`` and ``scores [batch, labels]`` out.

Where ``tokens`` are given instead, or an output ``step_...`` is asked for, each token is a step with
the verdict so far.
"""

from __future__ import annotations

from typing import Any

import orjson

from app.features.text import TextLimits
from app.tasks.sentiment.schema import SentimentRequest, SentimentResult
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.session import Examples
from app.tasks.tensor_table import ANY, TensorInput, TensorOutput, TensorTable

EXAMPLES: Examples = {
    "sentiment": {
        "summary": "two texts (sentiment)",
        "value": {
            "inputs": [
                {
                    "name": "text",
                    "shape": [2],
                    "datatype": "BYTES",
                    "data": ["A warm and funny film.", "Dull from start to end."],
                }
            ],
            "outputs": [{"name": "label"}, {"name": "scores"}],
        },
    },
}


def sentiment_tensors(reference: str, spec: SentimentSpec, limits: TextLimits) -> TensorTable:
    labels = {"labels": orjson.dumps(spec.labels).decode()}
    num = len(spec.labels)

    def last(step: dict[str, Any]) -> SentimentResult:
        return SentimentResult.model_construct(
            label=step["label"], score=step["score"], scores=step["scores"], warning=step.get("warning")
        )

    return TensorTable(
        inputs=(
            TensorInput("text", "BYTES", (ANY,)),
            TensorInput("tokens", "INT64", (ANY, ANY), also=("INT32",), optional=True, by_steps=True),
        ),
        outputs=(
            TensorOutput("label", "BYTES", (ANY,)),
            TensorOutput("score", "FP32", (ANY,)),
            TensorOutput(
                "scores",
                "FP32",
                (ANY, num),
                of=lambda result: [*result.scores.values()],
                about=lambda result: labels,
            ),
            TensorOutput("warning", "BYTES", (ANY,), of=lambda result: result.warning or "", if_asked=True),
            TensorOutput("step_token", "BYTES", (ANY, ANY)),
            TensorOutput("step_label", "BYTES", (ANY, ANY)),
            TensorOutput(
                "step_scores",
                "FP32",
                (ANY, ANY, num),
                of=lambda step: [*step["scores"].values()],
                about=lambda step: labels,
            ),
        ),
        meaning={**labels, "vocabulary": spec.vocabulary},
        requests=lambda rows, parameters: [SentimentRequest.model_construct(text=[*rows], model=reference)],
        answers=lambda answer: answer.results,
        last=last,
        max_rows=limits.max_texts,
    )
