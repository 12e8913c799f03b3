"""The classifier that always gives the most frequent label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def majority_accuracy(train: Sequence[int], test: Sequence[int]) -> float:
    """Accuracy on ``test`` of the most frequent label of ``train``; of equals, the lowest."""
    counts = Counter(train)
    answer = min(counts, key=lambda label: (-counts[label], label))
    return sum(label == answer for label in test) / len(test)
