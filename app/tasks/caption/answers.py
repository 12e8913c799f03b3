"""Hypotheses to captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.core.beam import BeamResult, Hypothesis
from app.core.numbers import rounded
from app.core.sequence import FinishReason
from app.features.text import TextCodec
from app.tasks.caption import schema
from app.tasks.caption.schema import Attention, Caption, CaptionAnswer, OtherCaption
from app.tasks.caption.spec import CaptionSpec
from app.tasks.decoded.schema import Usage

REASONS: dict[FinishReason, schema.FinishReason] = {FinishReason.END: "end", FinishReason.LENGTH: "length"}


class Answers:
    """Of one model, ``name@version``."""

    def __init__(self, reference: str, codec: TextCodec, spec: CaptionSpec) -> None:
        self.reference, self.spec = reference, spec
        self._codec = codec

    def whole(self, found: Sequence[BeamResult], *, several: bool) -> CaptionAnswer:
        """``several``: with the hypotheses behind the best."""
        produced = sum(len(result.hypotheses[0].tokens) for result in found)
        return CaptionAnswer.model_construct(
            model=self.reference,
            captions=[self._caption(result.hypotheses, several) for result in found],
            usage=self.usage(len(found), produced),
        )

    def usage(self, pictures: int, produced: int) -> Usage:
        supplied = pictures * self.spec.places
        return Usage.model_construct(
            prompt_tokens=supplied, completion_tokens=produced, total_tokens=supplied + produced
        )

    def _caption(self, hypotheses: Sequence[Hypothesis], several: bool) -> Caption:
        best = hypotheses[0]
        others = [
            OtherCaption.model_construct(text=self._codec.decode(other.tokens), score=_rounded(other.score))
            for other in hypotheses[1:]
        ]
        return Caption.model_construct(
            text=self._codec.decode(best.tokens),
            score=_rounded(best.score),
            finish_reason=REASONS[best.reason],
            alternatives=others if several else None,
            attention=self._attention(best),
        )

    def _attention(self, hypothesis: Hypothesis) -> Attention | None:
        if hypothesis.attention is None:
            return None
        # What is behind the places is padding.
        weights = hypothesis.attention[:, : self.spec.places].astype(np.float64)
        return Attention.model_construct(
            grid=self.spec.grid,
            tokens=[self._codec.token(token) for token in hypothesis.tokens],
            weights=rounded(weights).tolist(),
        )


def _rounded(score: float) -> float:
    return float(rounded(np.array(score)))
