"""Language models that training goes on from: their weights as the graph holds them, and what they decide."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bundle.reader import Bundle, read_bundle
from app.core.errors import InvalidManifest, TrainingError
from tests.steps import MODELS
from training.generate.net import LanguageModel
from training.generate.recipe import GenerateRecipe
from training.options import pick
from training.run import run
from training.token_net import TokenNetConfig
from training.token_start import TokenStart

SONG = "the cat sat on the mat and the rat sat on the cat\n" * 40
OTHER = "the rat and the cat sat and sat and sat on a mat\n" * 40
OTHER_FORMS = {
    "digits": "transcribe",
    "chorales": "compose",
    "translate": "translate",
    "captioner": "caption",
}
STILL: dict[str, Any] = {"learning_rate": 1e-30, "weight_decay": 0.0, "epochs": 1}


def train(models: Path, text: str, version: str = "1", **options: Any) -> Bundle:
    """The bundle of one run over a text."""
    file = models / "song.txt"
    file.write_text(text, encoding="utf-8")
    small = {"epochs": 2, "threads": 1, "quiet": True, "length": 32, "batch_size": 8}
    given = {**small, "text": file, "name": "song", "version": version, "out": models, **options}
    return read_bundle(run(GenerateRecipe, given))


@pytest.mark.parametrize(
    "shape",
    [
        {"cell": "rnn", "layers": 2},
        {"cell": "rnn", "nonlinearity": "relu"},
        {"cell": "gru", "layers": 2},
        {"cell": "lstm", "layers": 2},
        {"tokenizer": "word", "tied": True, "hidden": 8},
        {"tokenizer": "bpe", "vocab_size": 270},
        {"lines": True},
    ],
    ids=lambda shape: " ".join(map(str, shape.values())),
)
def test_weights_are_read_from_the_graph_to_the_bit(tmp_path: Path, shape: dict[str, Any]) -> None:
    """A run that learns nothing writes the same graph and tokenizer again, its shape untold."""
    first = train(tmp_path, SONG, **{"hidden": 12, "embedding": 8, **shape})
    again = train(tmp_path, SONG, "2", start="song@1", **STILL)
    assert again.graph == first.graph
    assert (again.tokenizer, again.start.tolist()) == (first.tokenizer, first.start.tolist())
    assert again.manifest.spec == first.manifest.spec
    assert again.manifest.quality == first.manifest.quality


def test_training_goes_on_with_another_text(tmp_path: Path) -> None:
    """It reads that text better than before, and than a network that begins with it; the command names it."""
    shape: dict[str, Any] = {"hidden": 32, "embedding": 8, "learning_rate": 0.02}
    first = train(tmp_path, SONG, epochs=8, **shape)
    before = train(tmp_path, OTHER, "2", start="song@1", **STILL)
    after = train(tmp_path, OTHER, "3", start="song@1", learning_rate=0.01)
    anew = train(tmp_path, OTHER, "4", learning_rate=0.01, hidden=32, embedding=8)
    figures = [bundle.manifest.quality[0].value for bundle in (after, before, anew)]
    assert figures[0] == min(figures) < 0.9 * figures[1]
    words = shlex.split(after.manifest.provenance.command)
    assert words[words.index("--from") + 1] == "song@1"
    assert not {"--hidden", "--cell", "--tokenizer", "--lines"} & set(words)
    made = f"Training went on from song@1, which this made: `{first.manifest.provenance.command}`"
    assert made in (tmp_path / "song" / "3" / "README.md").read_text()
    train(tmp_path, SONG, "5", start="song@3", epochs=1)
    card = (tmp_path / "song" / "5" / "README.md").read_text()
    told = f"from song@3, which this made: `{after.manifest.provenance.command}`"
    assert card.index(told) < card.index(made)


def test_the_newest_version_is_taken_where_none_is_named(tmp_path: Path) -> None:
    """By number, not by letters."""
    train(tmp_path, SONG, "9", hidden=8)
    newest = train(tmp_path, SONG, "10", hidden=12)
    assert train(tmp_path, SONG, "11", start="song", **STILL).graph == newest.graph


def test_a_broken_bundle_matters_where_it_is_the_one_that_is_named(tmp_path: Path) -> None:
    """Not beside it."""
    first = train(tmp_path, SONG, hidden=8)
    broken = tmp_path / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("{")
    assert train(tmp_path, SONG, "2", start="song", **STILL).graph == first.graph
    with pytest.raises(InvalidManifest):
        train(tmp_path, SONG, "3", start="broken")


def test_shipped_language_models_can_be_gone_on_from() -> None:
    """Each answers as its bundle recorded, which giving the weights has checked."""
    for name in ("names", "shakespeare", "ptb"):
        start = TokenStart(name, "generate", MODELS)
        vocabulary = len(start.bundle.golden.outputs["logits"][0, 0])
        net = LanguageModel(pick(TokenNetConfig, start.shape, vocabulary=vocabulary))
        start.give(net)
        assert net.training


def test_what_cannot_be_gone_on_from_is_refused_in_words(tmp_path: Path) -> None:
    """No such bundle, options that it decides, a text in other letters, a network of another form."""
    train(tmp_path, SONG, hidden=8)
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"start": "sonnet"}, r"there is no generate model 'sonnet' in .*; there are: song@1"),
        ({"start": "song@2"}, "there are: song@1"),
        ({"start": "song", "out": tmp_path / "nowhere"}, "nowhere', which --out names; there are: none"),
        ({"start": "song", "hidden": 8}, "--hidden is decided by song@1"),
        ({"start": "song", "vocab_size": 30}, "--vocab-size is decided by song@1"),
    ]
    for options, message in refusals:
        with pytest.raises(TrainingError, match=message):
            train(tmp_path, SONG, "2", **options)
    with pytest.raises(TrainingError, match="100% of the text's tokens are unknown to song@1"):
        train(tmp_path, "μῆνινἄειδεθεὰ" * 100, "2", start="song")
    for name, task in OTHER_FORMS.items():
        with pytest.raises(TrainingError, match=f"{name}@1 cannot be trained further: its network is not"):
            TokenStart(name, task, MODELS)


def test_a_graph_that_only_looks_alike_is_refused(tmp_path: Path) -> None:
    """Its recorded outputs are not those of the weights that were found."""
    train(tmp_path, SONG, hidden=8)
    start = TokenStart("song", "generate", tmp_path)
    net = LanguageModel(pick(TokenNetConfig, start.shape, vocabulary=start.vocabulary))
    start._bias = start._bias + np.float32(0.1)
    with pytest.raises(TrainingError, match="song@1 cannot be trained further"):
        start.give(net)


def test_letters_that_are_partly_unknown_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenth of a text that training has never seen."""
    train(tmp_path, SONG, hidden=8)
    train(tmp_path, SONG.replace("sat", "säT"), "2", start="song", **STILL)
    assert "% of the text's tokens are unknown to song@1" in capsys.readouterr().err
