"""What the slots hold: rows, what is still to be fed, and how tokens are drawn.

Who owns which slot is the engine's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.core.sequence import Feedback, SequenceRequest
from app.runtime.sampling import SamplingBatch


class Slots:
    """One entry for each slot: its row ``[S]``, what is still to be fed, and how tokens are drawn.

    ``cursor`` counts supplied steps consumed, ``position`` is that of the next token to be drawn, ``last``
    the token that was drawn last. Who owns which slot is the engine's business.
    """

    def __init__(self, num_slots: int, start: NDArray[np.float32]) -> None:
        self._start = np.ascontiguousarray(start, np.float32)
        self.rows = np.zeros((num_slots, start.size), np.float32)
        self.requests: list[SequenceRequest | None] = [None] * num_slots
        self.cursor = np.zeros(num_slots, np.int64)
        self.position = np.zeros(num_slots, np.uint64)
        self.last = np.zeros(num_slots, np.int64)
        self._temperature = np.ones(num_slots, np.float64)
        self._top_k = np.zeros(num_slots, np.int64)
        self._top_p = np.ones(num_slots, np.float64)
        self._seed = np.zeros(num_slots, np.uint64)
        self._alternatives = np.full(num_slots, -1, np.int64)

    def admit(self, slot: int, request: SequenceRequest) -> None:
        self.rows[slot] = self._start if request.start is None else request.start
        self.requests[slot] = request
        self.cursor[slot] = 0
        if request.feedback is not None:
            sampling = request.feedback.sampling
            self._temperature[slot] = sampling.temperature
            self._top_k[slot] = sampling.top_k
            self._top_p[slot] = sampling.top_p
            self._seed[slot] = sampling.seed
            self._alternatives[slot] = -1 if sampling.alternatives is None else sampling.alternatives
            self.position[slot] = sampling.first_position

    def release(self, slot: int) -> None:
        self.requests[slot] = None

    def requests_of(self, slots: NDArray[np.intp]) -> list[SequenceRequest]:
        found = [request for slot in slots.tolist() if (request := self.requests[slot]) is not None]
        if len(found) != len(slots):
            raise AssertionError("only slots that sequences hold are planned. This is a bug.")
        return found

    def feedbacks(self, slots: NDArray[np.intp]) -> list[Feedback]:
        return [request.feedback for request in self.requests_of(slots) if request.feedback is not None]

    def sampling(self, slots: NDArray[np.intp]) -> SamplingBatch:
        return SamplingBatch(
            self._temperature[slots],
            self._top_k[slots],
            self._top_p[slots],
            self._seed[slots],
            self.position[slots],
            self._alternatives[slots],
        )
