"""What running answers may come to hold in memory, bounded over all of them.

A few bytes can ask for much: 16 texts of 10,000 tokens with 20 alternatives each are 3.4 million
log-probabilities, 0.8 gigabytes by the time that the answer is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import Overloaded, over_limit
from app.core.sequence import SequenceRequest

MAX_LOGPROBS = 2_000_000
"""Of all running answers together, at about 250 bytes each."""


class AnswerMemory:
    def __init__(self, most: int = MAX_LOGPROBS) -> None:
        self._most = most
        self.held = 0

    def admit(self, sequences: Sequence[SequenceRequest]) -> int:
        """Reserve memory for the answer to these sequences; returns what is to be given back.

        Raises:
            InvalidInput: one answer alone would be too large.
            Overloaded: running answers leave too little.
        """
        wanted = sum(map(_logprobs, sequences))
        if wanted > self._most:
            text = f"an answer may list {self._most} log-probabilities, alternatives included, not {wanted}"
            raise over_limit("logprobs", self._most, text)
        if self.held + wanted > self._most:
            raise Overloaded("other answers with log-probabilities are being written; try again later")
        self.held += wanted
        return wanted

    def give_back(self, admitted: int) -> None:
        self.held -= admitted


def _logprobs(sequence: SequenceRequest) -> int:
    feedback = sequence.feedback
    if feedback is None or feedback.sampling.alternatives is None:
        return 0
    return feedback.max_tokens * (1 + feedback.sampling.alternatives)
