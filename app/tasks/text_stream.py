"""Sessions on text models: text or token ids in, a running label or log-probabilities out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import GenerateSpec, Manifest, SentimentSpec
from app.bundle.tokens import TextCodec
from app.core.errors import InvalidInput, InvalidManifest
from app.schemas.limits import Limits
from app.tasks.sentiment import softmax
from app.tasks.streaming import Context, EncodedInputs, Output
from app.tasks.text import check_text


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
        for index, token in enumerate(inputs):
            if type(token) is not int or not 0 <= token < self._vocabulary:
                raise InvalidInput(
                    f"inputs.{index}",
                    f"a token id is a whole number from 0 to {self._vocabulary - 1}",
                    allowed={"min": 0, "max": self._vocabulary - 1},
                )
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
        if not isinstance(manifest.spec, SentimentSpec):
            raise InvalidManifest(f"{manifest.reference} is not a sentiment model")
        super().__init__(codec, manifest.spec.vocabulary, limits)
        self._labels = manifest.spec.labels

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """One step per token."""
        ids = self._ids(inputs)
        return EncodedInputs(np.array(ids, np.int64), tuple(range(len(ids))), context, ids)

    def describe(
        self, encoded: EncodedInputs, before: NDArray[np.float32] | None, outputs: NDArray[np.float32]
    ) -> list[Output]:
        """Token, label and the probability of each label."""
        described: list[Output] = []
        for token, row in zip(encoded.detail, softmax(outputs), strict=True):
            scores = dict(zip(self._labels, np.round(row, 6).tolist(), strict=True))
            label = self._labels[int(np.argmax(row))]
            verdict = {"label": label, "score": scores[label], "scores": scores}
            described.append({"token": self._word(token), **verdict})
        return described


class GenerateStream(_TextStream):
    """How likely each fed token was to the network.

    Args:
        manifest: of the bundle.
        codec: of its tokenizer.
        limits: of a text.
    """

    def __init__(self, manifest: Manifest, codec: TextCodec, limits: Limits) -> None:
        if not isinstance(manifest.spec, GenerateSpec):
            raise InvalidManifest(f"{manifest.reference} is not a language model")
        super().__init__(codec, manifest.spec.vocabulary, limits)
        self._spec = manifest.spec

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """One step per token; the start token goes before the first where every text has one."""
        ids = self._ids(inputs)
        lead = [self._spec.start_token] if step == 0 and self._spec.start_always else []
        reported = tuple(range(len(lead), len(lead) + len(ids)))
        return EncodedInputs(np.array([*lead, *ids], np.int64), reported, context, ids)

    def describe(
        self, encoded: EncodedInputs, before: NDArray[np.float32] | None, outputs: NDArray[np.float32]
    ) -> list[Output]:
        """Token, id, and the natural log of its probability before it was fed; null for a first one."""
        described: list[Output] = []
        for place, token in zip(encoded.reported, encoded.detail, strict=True):
            known = outputs[place - 1] if place else before
            logprob = None if known is None else _logprob(known, token)
            described.append({"token": self._word(token), "id": token, "logprob": logprob})
        return described


def _logprob(logits: NDArray[np.float32], token: int) -> float:
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    return round(float(shifted[token] - np.log(np.exp(shifted).sum())), 6)
