"""Sessions on text models: text or token ids in, a running label or log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Manifest
from app.core.errors import InvalidInput
from app.core.limits import Limits
from app.features.text import TextCodec
from app.features.text_checks import check_ids, check_text
from app.tasks.generate.spec import GenerateSpec
from app.tasks.sentiment.spec import SentimentSpec
from app.tasks.sentiment.task import softmax
from app.tasks.streaming import AppliedInputs, Context, EncodedInputs, Output


class _TextStream:
    """What both text tasks share: inputs are a text, or a list of token ids."""

    def __init__(self, codec: TextCodec, vocabulary: int, limits: Limits) -> None:
        self._codec = codec
        self._vocabulary = vocabulary
        self._limits = limits

    def open(self, options: Context) -> Context:
        """Text sessions have no options."""
        if options:
            raise InvalidInput(f"options.{next(iter(options))}", "this model's sessions have no options")
        return {}

    def _ids(self, inputs: Any) -> list[int]:
        if isinstance(inputs, str):
            check_text("inputs", inputs, self._limits)
            ids = self._codec.encode(inputs)
            if not ids:
                raise InvalidInput("inputs", "the text holds no tokens; give at least one")
            return ids
        if not isinstance(inputs, list) or not inputs:
            raise InvalidInput("inputs", "give a text, or a list of one or more token ids")
        check_ids("inputs", inputs, self._vocabulary)
        return inputs

    def _word(self, token: int) -> str:
        return self._codec.token(token)


class SentimentStream(_TextStream):
    """The label so far after each token.

    Args:
        manifest: of the bundle.
        codec: of its tokenizer.
        limits: of a text.
    """

    def __init__(self, manifest: Manifest, codec: TextCodec, limits: Limits) -> None:
        spec = manifest.spec_as(SentimentSpec)
        super().__init__(codec, spec.vocabulary, limits)
        self._labels = spec.labels

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """One step per token."""
        ids = self._ids(inputs)
        return EncodedInputs(np.array(ids, np.int64), tuple(range(len(ids))), context, ids)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """Token, label and the probability of each label."""
        verdicts = softmax(np.concatenate([call.outputs for call in calls])) if calls else ()
        best = iter(np.argmax(verdicts, axis=-1).tolist() if calls else ())
        rows = iter(np.round(verdicts, 6).tolist())
        described: list[list[Output]] = []
        for call in calls:
            own: list[Output] = []
            for token in call.encoded.detail:
                label = self._labels[next(best)]
                scores = dict(zip(self._labels, next(rows), strict=True))
                own.append(
                    {"token": self._word(token), "label": label, "score": scores[label], "scores": scores}
                )
            described.append(own)
        return described


class GenerateStream(_TextStream):
    """How likely each fed token was to the network.

    Args:
        manifest: of the bundle.
        codec: of its tokenizer.
        limits: of a text.
    """

    def __init__(self, manifest: Manifest, codec: TextCodec, limits: Limits) -> None:
        self._spec = manifest.spec_as(GenerateSpec)
        super().__init__(codec, self._spec.vocabulary, limits)

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """One step per token; the start token goes before the first where every text has one."""
        ids = self._ids(inputs)
        lead = [self._spec.start_token] if step == 0 and self._spec.start_always else []
        reported = tuple(range(len(lead), len(lead) + len(ids)))
        return EncodedInputs(np.array([*lead, *ids], np.int64), reported, context, ids)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """Token, id, and the natural log of its probability before it was fed; null for a first one."""
        known = [
            (row, token)
            for call in calls
            for place, token in zip(call.encoded.reported, call.encoded.detail, strict=True)
            if (row := call.known(place)) is not None
        ]
        logprobs = iter(_logprobs(known))
        return [
            [
                {
                    "token": self._word(token),
                    "id": token,
                    "logprob": next(logprobs) if place or call.before is not None else None,
                }
                for place, token in zip(call.encoded.reported, call.encoded.detail, strict=True)
            ]
            for call in calls
        ]


def _logprobs(known: Sequence[tuple[NDArray[np.float32], int]]) -> list[float]:
    """The log probability of each token under the logits ``[vocabulary]`` beside it."""
    if not known:
        return []
    shifted = np.array([logits for logits, _ in known], np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    tokens = [token for _, token in known]
    chosen = shifted[np.arange(len(known)), tokens]
    return np.round(chosen - np.log(np.exp(shifted).sum(axis=1)), 6).tolist()  # type: ignore[no-any-return]
