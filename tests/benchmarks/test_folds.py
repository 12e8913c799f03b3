"""Ten folds of labelled sentences: each is asked about once, and never by a network that knows it."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from benchmarks.folds import DOCS, OURS, REGRESSION, WORD_LIST, folds, hits, table
from benchmarks.report import RESULTS, Figure
from training.sentiment.reviews import LabelledTexts


def test_each_sentence_is_in_one_test_part_and_never_beside_itself() -> None:
    """The three parts of a fold are the whole, and the same in every run."""
    texts = LabelledTexts([f"text {number}" for number in range(103)], [number % 2 for number in range(103)])
    found = list(folds(texts, seed=3))
    assert sorted(text for corpus in found for text in corpus.test.texts) == sorted(texts.texts)
    for corpus in found:
        parts = [corpus.train.texts, corpus.validation.texts, corpus.test.texts]
        assert sorted(chain(*parts)) == sorted(texts.texts)
        assert all(len(part) >= 10 for part in parts)
    assert [corpus.test for corpus in folds(texts, seed=3)] == [corpus.test for corpus in found]
    assert [corpus.test for corpus in folds(texts, seed=4)] != [corpus.test for corpus in found]


def test_a_label_that_is_said_is_right_or_wrong() -> None:
    """Two of three."""
    texts = LabelledTexts(["a", "b", "c"], [0, 2, 2])
    assert hits(["negative", "negative", "positive"], texts) == pytest.approx(2 / 3)


def test_the_page_shows_what_was_recorded() -> None:
    """All ten folds, and what stands beside the network."""
    figures = [
        Figure(each["name"], each["value"], each["unit"], rounds=tuple(each["rounds"]))
        for each in json.loads((RESULTS / "folds.json").read_text())["figures"]
    ]
    assert [figure.name for figure in figures] == [OURS, REGRESSION, WORD_LIST]
    assert all(len(figure.rounds) == 10 for figure in figures)
    assert table(figures) in DOCS.read_text()
