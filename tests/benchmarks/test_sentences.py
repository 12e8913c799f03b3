"""The 200 sentences are as described, and the recorded scores are those of the shipped bundles."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from app.bundle.reader import Bundle
from benchmarks.sentences import (
    ALL,
    DOCS,
    KINDS,
    ROOT,
    Sentence,
    by_kind,
    classifiers,
    labels_of,
    read_sentences,
    table,
)

RECORDED = ROOT / "benchmarks/results/sentences.json"
SHIPPED = classifiers(ROOT / "models")


def recorded() -> dict[str, dict[str, float]]:
    """Share of right labels by classifier and kind, in their order."""
    scores: dict[str, dict[str, float]] = {}
    for figure in json.loads(RECORDED.read_text())["figures"]:
        scores.setdefault(figure["group"], {})[figure["name"].rpartition(", ")[2]] = figure["value"]
    return scores


def test_there_are_fifty_different_sentences_of_each_kind_half_of_them_positive() -> None:
    """All labels are known; what is neutral is so in one kind alone."""
    sentences = read_sentences()
    counts = Counter((sentence.kind, sentence.label) for sentence in sentences)
    both = {(kind, label): 25 for kind in KINDS if kind != "neutral" for label in ("positive", "negative")}
    assert counts == both | {("neutral", "neutral"): 50}
    assert len({sentence.text for sentence in sentences}) == 200


def test_right_labels_are_counted_by_kind() -> None:
    """A kind's share is that of its own sentences."""
    sentences = [Sentence(str(number), "positive", kind) for kind in KINDS for number in range(2)]
    labels = ["positive"] * 3 + ["neutral"] + ["negative"] * 4
    shares = by_kind(sentences, labels)
    assert shares == {"negation": 1, "contrast": 0.5, "neutral": 0, "emoticon": 0, ALL: 3 / 8}
    assert "| x | 100.0% | 50.0% | 0.0% | 0.0% | 37.5% |" in table({"x": shares})


@pytest.mark.parametrize("bundle", SHIPPED, ids=lambda bundle: bundle.manifest.reference)
def test_the_recorded_scores_are_what_a_bundle_gives(bundle: Bundle) -> None:
    """Not that they are good: that they are true."""
    sentences = read_sentences()
    shares = by_kind(sentences, labels_of(bundle, sentences))
    assert recorded()[bundle.manifest.reference] == pytest.approx(shares)


def test_the_page_shows_what_was_recorded() -> None:
    """Every shipped classifier, and what it stands beside."""
    scores = recorded()
    named = {bundle.manifest.reference for bundle in SHIPPED}
    assert named <= set(scores)
    assert len(scores) == len(named) + 2
    shown = {f"`{name}`" if name in named else name: shares for name, shares in scores.items()}
    assert table(shown) in Path(DOCS).read_text()
