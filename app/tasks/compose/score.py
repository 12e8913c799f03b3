"""``POST /compose/score``: how likely a given piece is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.core.numbers import log_softmax, rounded
from app.core.sequence import Read
from app.tasks.compose.given import GivenReader
from app.tasks.compose.music import NOTHING
from app.tasks.compose.schema import ScoreAnswer, ScoreRequest
from app.tasks.compose.spec import ComposeSpec
from app.tasks.model import Prepared, blocks_of


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedScore(Prepared):
    """``stream``: the tokens of the piece."""

    stream: NDArray[np.int64]


class Scorer:
    """See :class:`app.tasks.model.Answering`."""

    def __init__(self, reference: str, spec: ComposeSpec, given: GivenReader) -> None:
        self._reference, self._spec, self._given = reference, spec, given

    def milliseconds(self, request: ScoreRequest) -> float:
        return self._given.milliseconds(request)

    def prepare(self, request: ScoreRequest) -> PreparedScore:
        stream = self._spec.layout.encode(*self._given.whole(request))
        blocks, members = blocks_of([np.concatenate([[NOTHING], stream[:-1]])], Read.ALL)
        return PreparedScore(blocks=blocks, members=members, stream=stream)

    def finish(self, prepared: PreparedScore, outputs: list[NDArray[np.float32]]) -> ScoreAnswer:
        layout, stream = self._spec.layout, prepared.stream
        steps = len(stream) // layout.voices - layout.lead
        lost = nats(outputs[0], stream).reshape(-1, layout.voices)
        aligned = np.concatenate([lost[:steps, :1], lost[layout.lead :, 1:]], axis=1)
        total = float(aligned.sum())
        return ScoreAnswer.model_construct(
            model=self._reference,
            nats=float(rounded(np.array(total))),
            nats_per_step=float(rounded(np.array(total / steps))),
            voices=dict(zip(self._given.names, rounded(aligned.sum(axis=0)).tolist(), strict=True)),
            steps=rounded(aligned.sum(axis=1)).tolist(),
        )


def nats(logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each token under the logits ``[tokens, vocabulary]`` before it."""
    found: NDArray[np.float64] = -log_softmax(logits)[np.arange(len(tokens)), tokens]
    return found
