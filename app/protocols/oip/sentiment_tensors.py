"""Texts as tensors: ``text [batch]`` of BYTES in; ``label [batch]`` and ``scores [batch, labels]`` out.

Where ``tokens`` are given instead, or an output ``step_...`` is asked for, each token is a step with
the verdict so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from app.bundle.manifest import Manifest
from app.core.tensor import ANY, Tensor, TensorSpec, floats, texts
from app.protocols.oip.parameters import SentimentParameters
from app.protocols.oip.rows import TOKENS, text_events, texts_of
from app.tasks.sentiment.schema import SentimentRequest, SentimentResult
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.streaming import Output


class SentimentTensors:
    """What one classifier's tensors mean.

    Args:
        manifest: of its bundle.
        spec: of the manifest.
    """

    parameters = SentimentParameters
    inputs = (TensorSpec("text", "BYTES", (ANY,)), TOKENS)

    def __init__(self, manifest: Manifest, spec: SentimentSpec) -> None:
        self._reference = manifest.reference
        self._labels = orjson.dumps(spec.labels).decode()
        num = len(spec.labels)
        self.outputs = (
            TensorSpec("label", "BYTES", (ANY,)),
            TensorSpec("score", "FP32", (ANY,)),
            TensorSpec("scores", "FP32", (ANY, num)),
            TensorSpec("step_token", "BYTES", (ANY, ANY), each_step=True),
            TensorSpec("step_label", "BYTES", (ANY, ANY), each_step=True),
            TensorSpec("step_scores", "FP32", (ANY, ANY, num), each_step=True),
        )
        self.meaning: dict[str, str | int] = {"labels": self._labels, "vocabulary": spec.vocabulary}

    def request(self, tensors: Mapping[str, Tensor]) -> SentimentRequest | None:
        """The verdict on every text; ``None`` when there are tokens instead."""
        if list(tensors) != ["text"]:
            return None
        return SentimentRequest.model_construct(text=texts_of(tensors["text"]), model=self._reference)

    def answer(self, results: Sequence[SentimentResult]) -> list[Tensor]:
        """Label, its probability, and those of all labels."""
        return self._verdicts([one.label for one in results], [one.scores for one in results])

    def events(self, tensors: Mapping[str, Tensor]) -> Sequence[str | list[int]]:
        """The rows as inputs of a session each."""
        return text_events(tensors, "text")

    def last(self, rows: Sequence[Sequence[Output]]) -> list[Tensor]:
        """As :meth:`answer`, of the last step of each row."""
        return self._verdicts([row[-1]["label"] for row in rows], [row[-1]["scores"] for row in rows])

    def steps(self, rows: Sequence[Sequence[Output]]) -> list[Tensor]:
        """The verdict after each token, ``[batch, time]``; the rows have one length."""
        scores = [[list(one["scores"].values()) for one in row] for row in rows]
        return [
            texts("step_token", [[one["token"] for one in row] for row in rows]),
            texts("step_label", [[one["label"] for one in row] for row in rows]),
            floats("step_scores", scores, labels=self._labels),
        ]

    def _verdicts(self, labels: list[str], scores: list[dict[str, float]]) -> list[Tensor]:
        return [
            texts("label", labels),
            floats("score", [one[label] for label, one in zip(labels, scores, strict=True)]),
            floats("scores", [list(one.values()) for one in scores], labels=self._labels),
        ]
