"""What a classifier must beat: the most frequent label, and a regression that knows no order of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

_STRENGTHS = (1.0, 3.0, 10.0, 30.0)


def majority_accuracy(train: Sequence[int], test: Sequence[int]) -> float:
    """Accuracy on ``test`` of the most frequent label of ``train``; of equals, the lowest."""
    counts = Counter(train)
    answer = min(counts, key=lambda label: (-counts[label], label))
    return sum(label == answer for label in test) / len(test)


class BagOfWords:
    """A regression on words and word pairs, whose strength is best on ``validation``.

    Args:
        train: token ids of each text, and their labels.
        validation: the same.
        vocabulary: number of tokens.
    """

    def __init__(
        self,
        train: tuple[Sequence[Sequence[int]], Sequence[int]],
        validation: tuple[Sequence[Sequence[int]], Sequence[int]],
        vocabulary: int,
    ) -> None:
        self._vocabulary = vocabulary
        self._pairs = _frequent_pairs(train[0], vocabulary)
        self._weighting = TfidfTransformer(sublinear_tf=True)
        features = self._weighting.fit_transform(_count(train[0], vocabulary, self._pairs))
        held_out = self._features(validation[0])
        models = [
            LogisticRegression(C=strength, max_iter=1000).fit(features, np.asarray(train[1]))
            for strength in _STRENGTHS
        ]
        self._model = max(models, key=lambda model: float(model.score(held_out, np.asarray(validation[1]))))

    def labels(self, texts: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """The most probable label of each text."""
        return np.asarray(self._model.predict(self._features(texts)), np.int64)

    def accuracy(self, texts: Sequence[Sequence[int]], labels: Sequence[int]) -> float:
        """Share of right labels."""
        return float((self.labels(texts) == np.asarray(labels)).mean())

    def _features(self, texts: Sequence[Sequence[int]]) -> sparse.csr_matrix:
        return self._weighting.transform(_count(texts, self._vocabulary, self._pairs))


def _pair_codes(text: Sequence[int], vocabulary: int) -> NDArray[np.int64]:
    ids = np.asarray(text, np.int64)
    return ids[:-1] * vocabulary + ids[1:]


def _frequent_pairs(texts: Sequence[Sequence[int]], vocabulary: int) -> NDArray[np.int64]:
    """Codes, ascending, of the pairs that occur at least twice."""
    codes = np.concatenate([_pair_codes(text, vocabulary) for text in texts])
    unique, counts = np.unique(codes, return_counts=True)
    return np.asarray(unique[counts >= 2], np.int64)


def _count(texts: Sequence[Sequence[int]], vocabulary: int, pairs: NDArray[np.int64]) -> sparse.csr_matrix:
    """Counts ``[texts, vocabulary + pairs]``."""
    rows, columns = [], []
    for row, text in enumerate(texts):
        codes = _pair_codes(text, vocabulary)
        places = np.searchsorted(pairs, codes)
        known = places[pairs[np.minimum(places, len(pairs) - 1)] == codes] if len(pairs) else places[:0]
        found = np.concatenate([np.asarray(text, np.int64), vocabulary + known])
        rows.append(np.full(len(found), row))
        columns.append(found)
    where = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(texts), vocabulary + len(pairs))
    return sparse.csr_matrix((np.ones(len(where[0]), np.float32), where), shape=shape)
