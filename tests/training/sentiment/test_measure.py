"""Verdicts among the labels that data have, and probabilities that hold."""

from __future__ import annotations

import numpy as np
import pytest

from training.sentiment.data import Labelled
from training.sentiment.measure import Calibration, Verdicts, calibration, logits_of
from training.sentiment.net import Classifier, ClassifierConfig


def verdicts(logits: list[list[float]], right: list[int]) -> Verdicts:
    """Of texts with these logits."""
    return Verdicts(np.array(logits), np.array(right), np.arange(len(logits[0])))


def test_the_calibration_error_is_the_gap_between_sure_and_right() -> None:
    """By hand: two bins, one of three texts at 0.9 of which two are right, one of one text at 0.6."""
    sure, half = float(np.log(9.0)), float(np.log(1.5))
    found = verdicts([[sure, 0], [sure, 0], [0, sure], [half, 0]], [0, 1, 1, 0])
    assert found.accuracy == 0.75
    assert found.calibration_error == pytest.approx((abs(2.7 - 2) + abs(0.6 - 1)) / 4)


def test_labels_that_the_data_do_not_have_are_no_answer() -> None:
    """A network of three labels on binary data says the likelier of the two."""
    net = Classifier(ClassifierConfig(12, labels=3, cell="gru", embedding=8, hidden=16)).eval()
    texts = Labelled([[1, 2, 3], [4], [5, 6]], [2, 0, 2], [1.0] * 3)
    whole = logits_of(net, texts.tokens)
    found = Verdicts.of(net, texts)
    assert np.array_equal(found.logits, whole[:, [0, 2]])
    assert found.right.tolist() == [1, 0, 1]
    swapped = Verdicts.of(net, texts, places=[2, -1, 0])
    assert np.array_equal(swapped.logits, whole[:, [2, 0]]), "a bundle may have its labels in another order"


def test_logits_that_are_too_sure_are_divided() -> None:
    """Labels drawn from logits that are three times smaller ask for a temperature of three."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = np.array([random.choice(3, p=row) for row in shares])
    told = Verdicts(logits * 3, right, np.arange(3))
    found = calibration([told], 3)
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    assert found.biases == pytest.approx([0, 0, 0], abs=0.15)
    better = Verdicts(logits * 3 / found.temperature, right, told.labels)
    assert better.calibration_error < told.calibration_error / 3


def test_labels_that_are_said_too_often_get_a_bias() -> None:
    """Also where one part has all labels and another two of them."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    true = np.exp(logits - [0.0, 0.0, 0.5])
    three = np.array([random.choice(3, p=row / row.sum()) for row in true])
    two = (random.random(4000) < true[:, 2] / (true[:, 0] + true[:, 2])).astype(int)
    parts = [Verdicts(logits, three, np.arange(3)), Verdicts(logits[:, [0, 2]], two, np.array([0, 2]))]
    found = calibration(parts, 3)
    assert found.temperature == pytest.approx(1.0, rel=0.1)
    assert found.biases - found.biases[0] == pytest.approx([0.0, 0.0, -0.5], abs=0.12)
    as_told = Calibration(1.0, np.zeros(3))
    assert all(part.nats(found) < part.nats(as_told) for part in parts)


def test_a_few_texts_that_are_all_right_do_not_make_a_network_certain() -> None:
    """Without a prior the temperature would be as low as it may, and a bias as high."""
    few = verdicts([[1.0, 0.0]] * 5, [0] * 5)
    many = verdicts([[1.0, 0.0]] * 500, [0] * 500)
    found = calibration([few], 2)
    assert 0.4 < found.temperature < 1
    assert np.abs(found.biases).max() < 0.2
    assert calibration([many], 2).temperature < 0.3, "five hundred are a proof"
