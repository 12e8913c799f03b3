"""Classifiers that training goes on from: what they know of words and labels is kept."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import TrainingError
from app.features.text import TextCodec
from app.tasks.sentiment.spec import SentimentSpec
from tests.steps import MODELS
from training.graph_net import GraphNet
from training.run import run
from training.sentiment.measure import logits_of
from training.sentiment.net import Classifier, ClassifierConfig
from training.sentiment.recipe import SentimentRecipe
from training.token_start import TokenStart

STILL: dict[str, Any] = {"learning_rate": 1e-30, "weight_decay": 0.0, "epochs": 1}
SHOP = {
    "thrilled": [
        "It arrived early and works like a charm.",
        "A joy to use, I love it.",
        "Excellent quality.",
    ],
    "annoyed": ["It broke after a day.", "Terrible, a waste of money.", "The seller was awful and rude."],
}


def write(path: Path, told: dict[str, list[str]], times: int = 40) -> Path:
    """A CSV in which each text of a label occurs several times among words without meaning."""
    random = np.random.default_rng(0)
    lines = ["text,label"]
    for index in range(times):
        for label, texts in told.items():
            noise = " ".join(random.choice(["the", "a", "it", "of", "to"], 4))
            lines.append(f'"{texts[index % len(texts)]} {noise}",{label}')
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def train(models: Path, told: dict[str, list[str]], version: str = "1", **options: Any) -> Bundle:
    """The bundle of one run over a CSV."""
    given = {"csv": write(models / "told.csv", told), "name": "moods", "version": version, "out": models}
    small = {"epochs": 3, "threads": 1, "quiet": True}
    return read_bundle(run(SentimentRecipe, {**given, **small, **options}))


@pytest.mark.parametrize("shape", [{"cell": "gru", "layers": 2}, {"cell": "lstm"}], ids=["gru", "lstm"])
def test_weights_are_read_from_the_graph_to_the_bit(tmp_path: Path, shape: dict[str, Any]) -> None:
    """A run that learns nothing writes the same graph again, its shape untold."""
    told = {"glad": ["lovely film", "grand"], "sad": ["dreadful film", "bad"]}
    first = train(tmp_path, told, hidden=12, embedding=8, **shape)
    again = train(tmp_path, told, "2", start="moods", **STILL)
    assert (again.tokenizer, again.manifest.spec) == (first.tokenizer, first.manifest.spec)
    assert np.array_equal(again.start, first.start)
    assert again.graph == first.graph
    words = shlex.split(again.manifest.provenance.command)
    assert words[words.index("--from") + 1] == "moods@1"
    assert not {"--hidden", "--cell", "--vocab-size", "--vectors", "--no-vectors"} & set(words)


def test_labels_of_the_same_name_are_kept_and_others_begin_without_preference(tmp_path: Path) -> None:
    """By name, in whichever case and place; the new label's logit is zero for every text."""
    first = train(tmp_path, {"glad": ["lovely"], "sad": ["dreadful"]}, hidden=12, embedding=8)
    told = {"angry": ["dreadful it is"], "Glad": ["lovely it is"], "sad": ["dreadful"]}
    recipe = SentimentRecipe.load(
        SentimentRecipe.DataOptions(csv=write(tmp_path / "more.csv", told), start="moods"),
        {"out": tmp_path},
        None,
    )
    net = recipe.build_net().eval()
    assert recipe.spec.labels == ("Glad", "angry", "sad")
    assert not recipe.starts_trained
    texts = [recipe.codec.encode(text) for text in ("lovely", "dreadful lovely it")]
    ours, theirs = logits_of(net, texts), logits_of(GraphNet(first), texts)
    assert ours[:, [0, 2]] == pytest.approx(theirs, abs=1e-5)
    assert (ours[:, 1] == 0.0).all()


def test_what_the_shipped_model_knows_of_words_helps_with_few_texts(tmp_path: Path) -> None:
    """Labels of another name are told in words that the texts do not have."""
    bundle = train(
        tmp_path, SHOP, start="sentiment@2", out=_with_shipped(tmp_path), epochs=4, learning_rate=1e-3
    )
    assert bundle.manifest.spec_as(SentimentSpec).labels == ("annoyed", "thrilled")
    assert bundle.tokenizer is not None
    codec = TextCodec(bundle.tokenizer)
    unseen = ["A superb and delightful thing.", "Wonderful!", "A boring disaster.", "Horrible and useless."]
    logits = logits_of(GraphNet(bundle), [codec.encode(text) for text in unseen])
    assert logits.argmax(axis=1).tolist() == [1, 1, 0, 0]


def test_shipped_classifiers_can_be_gone_on_from() -> None:
    """Each answers as its bundle recorded, which giving the weights has checked."""
    for reference, labels in (("sentiment@1", 2), ("sentiment@2", 3)):
        start = TokenStart(reference, "sentiment", MODELS)
        shape = {name: value for name, value in start.shape.items() if name != "tied"}
        start.give(Classifier(ClassifierConfig(start.vocabulary, labels=labels, **shape)))


def test_what_cannot_be_gone_on_from_is_refused_in_words(tmp_path: Path) -> None:
    """No such bundle, and options that it decides."""
    told = {"glad": ["lovely"], "sad": ["dreadful"]}
    train(tmp_path, told, hidden=8, embedding=8)
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"start": "sentiment"}, r"there is no sentiment model 'sentiment' in .*; there are: moods@1"),
        ({"start": "moods", "cell": "gru"}, "--cell is decided by moods@1"),
        ({"start": "moods", "vectors": True}, "--vectors is decided by moods@1"),
    ]
    for options, message in refusals:
        with pytest.raises(TrainingError, match=message):
            train(tmp_path, told, "2", **options)
    japanese = tmp_path / "japanese.csv"
    japanese.write_text("text,label\n" + "素晴らしい,glad\nひどい,sad\n" * 20, encoding="utf-8")
    with pytest.raises(TrainingError, match="100% of the text's tokens are unknown to moods@1"):
        train(tmp_path, told, "2", start="moods", csv=japanese)


def _with_shipped(folder: Path) -> Path:
    """A models folder in which the shipped classifiers are, and new bundles come."""
    models = folder / "models"
    models.mkdir()
    (models / "sentiment").symlink_to(MODELS / "sentiment")
    return models
