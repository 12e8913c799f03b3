"""An operation of the task ``recall``: the likeliest targets of each source, by beam search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from app.core.beam import BeamRequest, BeamResult
from app.core.schema import Answer, ModelReference, Request
from app.core.sequence import Encoded
from app.tasks.model import Prepared

if TYPE_CHECKING:
    from tests.recall.model import RecallModel

END = 1


class SearchRequest(Request):
    """Sources, and how to search."""

    sources: list[list[int]] = Field(min_length=1)
    prefix: list[int] = Field(default=[0], min_length=1)
    width: int = Field(default=4, ge=1, le=16)
    max_tokens: int = Field(default=10, ge=1, le=100)
    attention: bool = False
    model: ModelReference = None


class Found(BaseModel):
    """One target."""

    tokens: list[int]
    logprob: float
    score: float
    reason: str
    attention: list[list[float]] | None


class SearchAnswer(Answer):
    """Of each source all hypotheses, the best first."""

    model: str
    hypotheses: list[list[Found]]


@dataclass(slots=True, eq=False, kw_only=True)
class PreparedSearch(Prepared):
    """Nothing more than what runs."""


class Search:
    """Searches that begin from encoded sources."""

    def __init__(self, model: RecallModel) -> None:
        self._model = model

    def milliseconds(self, request: SearchRequest) -> float:
        """Next to nothing."""
        return 0.0

    def prepare(self, request: SearchRequest) -> PreparedSearch:
        """One search for each source."""
        model = self._model
        sources = [model.source(f"sources.{index}", one) for index, one in enumerate(request.sources)]
        prefix = model.ids("prefix", request.prefix)

        def begin(encoded: Sequence[Encoded]) -> list[BeamRequest]:
            return [
                BeamRequest(
                    prefix,
                    request.width,
                    request.max_tokens,
                    n_best=request.width,
                    end_tokens=frozenset([END]),
                    start=one.row,
                    attended=one.attended,
                    attention=request.attention,
                )
                for one in encoded
            ]

        members = [[index] for index in range(len(sources))]
        return PreparedSearch(blocks=[], members=members, sources=sources, begin=begin)

    def finish(self, prepared: PreparedSearch, outputs: list[Any]) -> SearchAnswer:
        """What was found."""
        return SearchAnswer(model=self._model.reference, hypotheses=[_found(result) for result in outputs])


def _found(result: BeamResult) -> list[Found]:
    def weights(attention: np.ndarray | None) -> list[list[float]] | None:
        return None if attention is None else attention.tolist()

    return [
        Found(
            tokens=one.tokens,
            logprob=one.logprob,
            score=one.score,
            reason=one.reason.value,
            attention=weights(one.attention),
        )
        for one in result.hypotheses
    ]
