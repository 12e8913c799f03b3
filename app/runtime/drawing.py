"""How sequences draw their tokens, and which tokens end them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.sequence import FinishReason, StopRule, Token
from app.runtime.sampling import Sampler
from app.runtime.slots import Slots


class Drawing:
    """Draws for the same slots again and again. What is the same for each step is worked out once.

    Args:
        slots: where their parameters are; they are behind until :meth:`save`.
        indices: slots whose sequences feed back.

    Attributes:
        last: ``[n]``, the token of each that was drawn last.
    """

    __slots__ = ("_end_places", "_end_tokens", "_indices", "_rules", "_sampler", "_slots", "last")

    def __init__(self, slots: Slots, indices: NDArray[np.intp]) -> None:
        self._slots = slots
        self._indices = indices
        feedbacks = slots.feedbacks(indices)
        self._sampler = Sampler(slots.sampling(indices), [feedback.banned for feedback in feedbacks])
        ends = [(place, token) for place, feedback in enumerate(feedbacks) for token in feedback.end_tokens]
        self._end_places = np.array([place for place, _ in ends], np.intp)
        self._end_tokens = np.array([token for _, token in ends], np.intp)
        self._rules: list[tuple[int, StopRule]] = [
            (place, feedback.stop) for place, feedback in enumerate(feedbacks) if feedback.stop is not None
        ]
        self.last = slots.last[indices]

    def draw(
        self, logits: NDArray[np.float32], errors: dict[int, RunFailed]
    ) -> tuple[Sequence[Token | int], dict[int, FinishReason]]:
        """The next token of each, and by row what it ended.

        Args:
            logits: ``[n, vocabulary]``, finite.
            errors: rows that failed. A stop rule that raises fails its own row: it is added.
        """
        ids = self.last = self._sampler.draw(logits)
        ended: dict[int, FinishReason] = {}
        if self._end_places.size:
            hit = ids[self._end_places] == self._end_tokens
            if hit.any():
                ended = dict.fromkeys(self._end_places[hit].tolist(), FinishReason.END)
        for place, rule in self._rules:
            if place in ended or place in errors:
                continue
            try:
                if rule(int(ids[place])):
                    ended[place] = FinishReason.STOP
            except Exception as error:
                errors[place] = RunFailed(f"the stop rule failed: {error!r}")
        return self._sampler.tokens(logits, ids), ended

    def save(self) -> None:
        """Write last tokens and positions back. Called once, at the end."""
        self._slots.last[self._indices] = self.last
        self._slots.position[self._indices] += np.uint64(self._sampler.num_drawn)
