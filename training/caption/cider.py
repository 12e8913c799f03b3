"""CIDEr-D (Vedantam et al. 2015): how much a caption says of what many people say and few say elsewhere.

As its authors' code has it: n-grams of one to four words, weighted by how rare they are among the pictures,
counts clipped, and a penalty on the difference in length. Words are not stemmed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_MOST = 4
_SIGMA = 6.0
_SCALE = 10.0

Words = Sequence[str]
_Counts = Counter[tuple[str, ...]]


class _Weighted(NamedTuple):
    """Of a caption: for each n the weights of its n-grams, and their norm; and its number of bigrams."""

    weights: list[dict[tuple[str, ...], float]]
    norms: list[float]
    bigrams: int


class Cider:
    """Scores captions of pictures by what people say of these.

    Args:
        truth: of each picture, what people say of it.
    """

    def __init__(self, truth: Sequence[Sequence[Words]]) -> None:
        counted = [[_counts(words) for words in captions] for captions in truth]
        known = Counter(gram for captions in counted for gram in set().union(*captions))
        self._rarity = {gram: math.log(len(truth)) - math.log(count) for gram, count in known.items()}
        self._unknown = math.log(len(truth))
        self._truth = [[self._weighted(counts) for counts in captions] for captions in counted]

    def score(self, told: Sequence[Words]) -> float:
        """The mean over the pictures, 0 to 10; one caption of each, in their order."""
        scores = [self._one(words, truth) for words, truth in zip(told, self._truth, strict=True)]
        return sum(scores) / len(scores)

    def _one(self, words: Words, truth: Sequence[_Weighted]) -> float:
        mine = self._weighted(_counts(words))
        total = 0.0
        for other in truth:
            near = math.exp(-((mine.bigrams - other.bigrams) ** 2) / (2 * _SIGMA**2))
            for weights, theirs, norm, norm_of in zip(
                mine.weights, other.weights, mine.norms, other.norms, strict=True
            ):
                if norm and norm_of:
                    shared = weights.keys() & theirs.keys()
                    product = sum(min(weights[gram], theirs[gram]) * theirs[gram] for gram in sorted(shared))
                    total += near * product / (norm * norm_of)
        return _SCALE * total / (_MOST * len(truth))

    def _weighted(self, counts: _Counts) -> _Weighted:
        weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(_MOST)]
        for gram, count in counts.items():
            weights[len(gram) - 1][gram] = count * self._rarity.get(gram, self._unknown)
        norms = [math.sqrt(sum(value * value for value in found.values())) for found in weights]
        return _Weighted(weights, norms, sum(count for gram, count in counts.items() if len(gram) == 2))


def _counts(words: Words) -> _Counts:
    return Counter(
        tuple(words[first : first + size])
        for size in range(1, _MOST + 1)
        for first in range(len(words) - size + 1)
    )
