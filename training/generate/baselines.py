"""An n-gram language model, interpolated down to the uniform distribution.

Witten-Bell smoothing (Witten & Bell 1991): the more different tokens have followed a context,
the more weight goes to the shorter context.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence


class NgramModel:
    """Counts of every context up to ``order - 1`` tokens.

    Args:
        order: longest n-gram; a trigram is 3.
        vocabulary: number of tokens, over which the shortest distribution is uniform.
        boundary: the token that precedes every sequence, as often as a context needs.
    """

    def __init__(self, order: int, vocabulary: int, boundary: int) -> None:
        self._order = order
        self._vocabulary = vocabulary
        self._boundary = boundary
        self._followers: list[defaultdict[tuple[int, ...], Counter[int]]] = [
            defaultdict(Counter) for _ in range(order)
        ]

    def fit(self, sequences: Sequence[Sequence[int]]) -> NgramModel:
        """Count the n-grams of ``sequences``, which hold their end tokens where they have one."""
        for sequence in sequences:
            padded = self._pad(sequence)
            for position in range(self._order - 1, len(padded)):
                for length in range(self._order):
                    context = tuple(padded[position - length : position])
                    self._followers[length][context][padded[position]] += 1
        return self

    def probability(self, context: tuple[int, ...], token: int) -> float:
        """Probability of ``token`` after ``context``, whose last ``order - 1`` tokens count."""
        result = 1.0 / self._vocabulary
        for length in range(min(self._order - 1, len(context)) + 1):
            followers = self._followers[length].get(context[len(context) - length :])
            if followers is None:
                break
            total, distinct = followers.total(), len(followers)
            result = (followers[token] + distinct * result) / (total + distinct)
        return result

    def nats(self, sequences: Sequence[Sequence[int]]) -> float:
        """Negative log-likelihood of all tokens of ``sequences``, in nats."""
        total = 0.0
        for sequence in sequences:
            padded = self._pad(sequence)
            for position in range(self._order - 1, len(padded)):
                context = tuple(padded[position - self._order + 1 : position])
                total -= math.log(self.probability(context, padded[position]))
        return total

    def _pad(self, sequence: Sequence[int]) -> list[int]:
        return [self._boundary] * (self._order - 1) + list(sequence)
