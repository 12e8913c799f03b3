"""Hypotheses to captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.core.beam import BeamResult, Hypothesis
from app.core.numbers import rounded
from app.tasks.caption.schema import Attention, Caption, CaptionAnswer
from app.tasks.caption.spec import CaptionSpec
from app.tasks.decoded.beams import ENDINGS, Decoder, score_of, usage_of
from app.tasks.decoded.schema import Usage


class Answers:
    """Of one model, ``name@version``."""

    def __init__(self, reference: str, decoder: Decoder, spec: CaptionSpec) -> None:
        self.reference, self.spec = reference, spec
        self._decoder = decoder

    def whole(self, found: Sequence[BeamResult], *, several: bool) -> CaptionAnswer:
        """``several``: with the hypotheses behind the best."""
        produced = sum(len(result.hypotheses[0].tokens) for result in found)
        return CaptionAnswer.model_construct(
            model=self.reference,
            captions=[self._caption(result.hypotheses, several) for result in found],
            usage=self.usage(len(found), produced),
        )

    def usage(self, pictures: int, produced: int) -> Usage:
        return usage_of(pictures * self.spec.places, produced)

    def _caption(self, hypotheses: Sequence[Hypothesis], several: bool) -> Caption:
        best = hypotheses[0]
        return Caption.model_construct(
            text=self._decoder.codec.decode(best.tokens),
            score=score_of([best]),
            finish_reason=ENDINGS[best.reason],
            alternatives=self._decoder.others(hypotheses[1:]) if several else None,
            attention=self._attention(best),
        )

    def _attention(self, hypothesis: Hypothesis) -> Attention | None:
        if hypothesis.attention is None:
            return None
        # What is behind the places is padding.
        weights = hypothesis.attention[:, : self.spec.places].astype(np.float64)
        return Attention.model_construct(
            grid=self.spec.grid,
            tokens=[self._decoder.codec.token(token) for token in hypothesis.tokens],
            weights=rounded(weights).tolist(),
        )
