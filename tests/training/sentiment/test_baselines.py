"""The classification baselines on labels that are known in advance."""

from __future__ import annotations

import pytest

from training.sentiment.baselines import BagOfWords, majority_accuracy


def test_the_majority_is_that_of_the_training_labels() -> None:
    """The test part's own majority is not looked at."""
    assert majority_accuracy([0, 1, 1], [0, 0, 0, 1]) == pytest.approx(0.25)


def test_equally_frequent_labels_give_the_lowest() -> None:
    """The answer does not depend on the order of the data."""
    assert (
        majority_accuracy([1, 0], [0, 0, 1]) == majority_accuracy([0, 1], [0, 0, 1]) == pytest.approx(2 / 3)
    )


def test_words_that_tell_labels_apart_are_learned() -> None:
    """Token 2 means one label and token 3 the other, among noise."""
    texts = [[1, 2 + label, 1, 4] for label in (0, 1)] * 10
    labels = [0, 1] * 10
    model = BagOfWords((texts, labels), (texts[:4], labels[:4]), 5)
    assert model.labels([[2, 4], [3]]).tolist() == [0, 1]
    assert model.accuracy([[2, 4], [3], [3], [3]], [0, 1, 1, 0]) == 0.75


def test_pairs_of_words_are_features() -> None:
    """Only the order of two neighbours tells these labels apart."""
    texts = [[1, 2], [2, 1]] * 10
    labels = [0, 1] * 10
    assert BagOfWords((texts, labels), (texts[:2], labels[:2]), 3).labels(texts[:2]).tolist() == [0, 1]


def test_texts_of_one_token_have_no_pairs() -> None:
    """An empty table of pairs is no error."""
    texts, labels = [[1], [2]] * 4, [0, 1] * 4
    assert BagOfWords((texts, labels), (texts, labels), 3).labels(texts).tolist() == labels
