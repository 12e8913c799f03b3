"""What a captioner must beat: captions that suit any picture, or those of pictures that look alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.caption.corpus import words_of

_NEIGHBOURS = 20
_SHORTEST = 7
_MOST = 4


def constant(captions: Sequence[str]) -> str:
    """The caption that most agrees with all others."""
    return _agreeing(captions)


def consensus(
    known: NDArray[np.float32], captions: Sequence[Sequence[str]], asked: NDArray[np.float32]
) -> list[str]:
    """For each picture, the caption on which those of the most similar pictures agree (Devlin et al. 2015).

    Args:
        known: features of the pictures of the training part ``[pictures, features]``.
        captions: of each of them.
        asked: the same features of others.
    """
    mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-3
    table, rows = ((part - mean) / spread for part in (known, asked))
    table = table / np.linalg.norm(table, axis=1, keepdims=True)
    found = []
    for row in rows:
        nearest = np.argsort(-(table @ row), kind="stable")[:_NEIGHBOURS]
        found.append(_agreeing([caption for index in nearest for caption in captions[index]]))
    return found


def _agreeing(captions: Sequence[str]) -> str:
    """The one whose n-grams most others have, by its length; short ones agree with all and say little."""
    said = [set(_grams(words_of(caption))) for caption in captions]
    counts = Counter(gram for grams in said for gram in grams)

    def agreement(index: int) -> float:
        words = words_of(captions[index])
        if len(words) < _SHORTEST:
            return -1.0
        return sum(counts[gram] - 1 for gram in said[index]) / max(1, len(words))

    return captions[max(range(len(captions)), key=agreement)]


def _grams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        tuple(words[first : first + size])
        for size in range(1, _MOST + 1)
        for first in range(len(words) - size + 1)
    ]
