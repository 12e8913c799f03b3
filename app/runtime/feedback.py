"""How sequences that feed back draw, and what ends them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RunFailed
from app.core.sequence import Feedback, FinishReason, StopRule, Token
from app.runtime.sampling import Sampler, SamplingBatch

Drawn = tuple[Sequence[Token | int], dict[int, FinishReason]]
"""A token for each row, and by row which of them ended its sequence."""


class FeedbackTable:
    """Per slot: how tokens are drawn, the last one, and the position of the next one.

    Args:
        num_slots: of the arena.
    """

    def __init__(self, num_slots: int) -> None:
        self._feedback: list[Feedback | None] = [None] * num_slots
        self._temperature = np.ones(num_slots, np.float64)
        self._top_k = np.zeros(num_slots, np.int64)
        self._top_p = np.ones(num_slots, np.float64)
        self._seed = np.zeros(num_slots, np.uint64)
        self._alternatives = np.full(num_slots, -1, np.int64)
        self.position = np.zeros(num_slots, np.uint64)
        self.last = np.zeros(num_slots, np.int64)

    def admit(self, slot: int, feedback: Feedback) -> None:
        """A sequence that will feed back gets a slot."""
        sampling = feedback.sampling
        self._feedback[slot] = feedback
        self._temperature[slot] = sampling.temperature
        self._top_k[slot] = sampling.top_k
        self._top_p[slot] = sampling.top_p
        self._seed[slot] = sampling.seed
        self._alternatives[slot] = -1 if sampling.alternatives is None else sampling.alternatives
        self.position[slot] = sampling.first_position

    def release(self, slot: int) -> None:
        """Forget a slot."""
        self._feedback[slot] = None

    def feedbacks(self, slots: NDArray[np.intp]) -> list[Feedback]:
        """Of slots whose owners feed back."""
        found = [feedback for slot in slots.tolist() if (feedback := self._feedback[slot]) is not None]
        if len(found) != len(slots):
            raise AssertionError("only sequences that feed back are sampled. This is a bug.")
        return found

    def sampler(self, slots: NDArray[np.intp]) -> Sampler:
        """Draws for these slots from their present positions on."""
        batch = SamplingBatch(
            self._temperature[slots],
            self._top_k[slots],
            self._top_p[slots],
            self._seed[slots],
            self.position[slots],
            self._alternatives[slots],
        )
        return Sampler(batch, [one.banned for one in self.feedbacks(slots)])

    def draw_first(
        self,
        slots: NDArray[np.intp],
        places: list[int],
        logits: NDArray[np.float32],
        errors: dict[int, RunFailed],
    ) -> Drawn:
        """First tokens, after the supplied steps.

        Args:
            slots: of a group.
            places: which of them draw.
            logits: of these, ``[len(places), vocabulary]``.
            errors: rows of the group that failed; a stop rule that raises is added.

        Returns:
            A token for each of the places, and by row of the group which token ended its sequence.
        """
        who = slots[places]
        sampler = self.sampler(who)
        ids = sampler.draw(logits)
        self.last[who] = ids
        self.position[who] += np.uint64(1)
        own = {index: errors[place] for index, place in enumerate(places) if place in errors}
        ended = Ends(self.feedbacks(who)).check(ids, own)
        for index, error in own.items():
            errors.setdefault(places[index], error)
        return sampler.tokens(logits, ids), {places[index]: reason for index, reason in ended.items()}


class Ends:
    """Which tokens end which of the rows.

    Args:
        feedbacks: of the rows.
    """

    def __init__(self, feedbacks: list[Feedback]) -> None:
        pairs = [(place, token) for place, one in enumerate(feedbacks) for token in one.end_tokens]
        self._places = np.array([place for place, _ in pairs], np.intp)
        self._tokens = np.array([token for _, token in pairs], np.intp)
        self._rules: list[tuple[int, StopRule]] = [
            (place, one.stop) for place, one in enumerate(feedbacks) if one.stop is not None
        ]

    def check(self, ids: NDArray[np.intp], errors: dict[int, RunFailed]) -> dict[int, FinishReason]:
        """Rows whose token ends them. A stop rule that raises fails its own row only."""
        ended: dict[int, FinishReason] = {}
        if self._places.size:
            hit = ids[self._places] == self._tokens
            if hit.any():
                ended = dict.fromkeys(self._places[hit].tolist(), FinishReason.END)
        for place, rule in self._rules:
            if place in ended or place in errors:
                continue
            try:
                if rule(int(ids[place])):
                    ended[place] = FinishReason.STOP
            except Exception as error:
                errors[place] = RunFailed(f"the stop rule failed: {error!r}")
        return ended
