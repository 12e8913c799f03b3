"""Sessions on a language model: text or token ids in, how likely each token was out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.numbers import log_softmax, rounded
from app.features.text import TextCodec, TextInputs, TextLimits
from app.tasks.generate.spec import GenerateSpec
from app.tasks.session import AppliedInputs, Context, EncodedInputs, Output


class TextSession(TextInputs):
    """See :class:`app.tasks.session.SessionTask`."""

    def __init__(self, spec: GenerateSpec, codec: TextCodec, limits: TextLimits) -> None:
        super().__init__(codec, spec.vocabulary, limits)
        self._spec = spec

    def encode(self, context: Context, step: int, inputs: Any) -> EncodedInputs:
        """One step for each token; the start token goes before the first where every text has one."""
        ids = self.ids(inputs)
        lead = [self._spec.start_token] if step == 0 and self._spec.start_always else []
        reported = tuple(range(len(lead), len(lead) + len(ids)))
        return EncodedInputs(np.array([*lead, *ids], np.int64), reported, context, ids)

    def describe(self, calls: Sequence[AppliedInputs]) -> list[list[Output]]:
        """Token, id, and the natural log of its probability before it was fed; null for a first one."""
        known = [
            (row, token)
            for call in calls
            for step, token in zip(call.encoded.reported, call.encoded.detail, strict=True)
            if (row := call.known(step)) is not None
        ]
        logprobs = iter(_logprobs(known))
        return [
            [
                {
                    "token": self._codec.token(token),
                    "id": token,
                    "logprob": next(logprobs) if step or call.before is not None else None,
                }
                for step, token in zip(call.encoded.reported, call.encoded.detail, strict=True)
            ]
            for call in calls
        ]


def _logprobs(known: Sequence[tuple[NDArray[np.float32], int]]) -> list[float]:
    """The log probability of each token under the logits ``[vocabulary]`` beside it."""
    if not known:
        return []
    table = log_softmax(np.array([logits for logits, _ in known]))
    chosen: list[float] = rounded(table[np.arange(len(known)), [token for _, token in known]]).tolist()
    return chosen
