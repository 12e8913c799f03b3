"""From sentences and their translations to a bundle that translates."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.bundle.reader import read_bundle
from app.core.errors import DataError
from app.registry.verification import verify
from app.tasks.translate.spec import TranslateSpec
from tests.e2e.server import ServerProcess
from tests.public_data import data_folder
from tests.rig import REGISTERED
from training.attending.fitting import LEAST_STEPS
from training.attending.search import MeasuredBundle, MeasuredNet
from training.data.download import DataStore
from training.run import run
from training.translate.baselines import nearest
from training.translate.batches import PAD, batches
from training.translate.corpus import Example, Pair
from training.translate.data import FOLDER, TESTS, load
from training.translate.decoding import translations
from training.translate.measure import moses_bleu, moses_tokens
from training.translate.net import Encoder
from training.translate.recipe import TranslateRecipe
from training.translate.settings import TranslateOptions

NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "funf"}
SMALL: dict[str, Any] = {
    "vocab_size": 290,
    "embedding": 24,
    "encoder": 24,
    "hidden": 32,
    "attention": 16,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "token_dropout": 0.0,
    "smoothing": 0.0,
    "max_length": 24,
    "batch": 16,
    "epochs": 14,
    "learning_rate": 0.01,
    "warmup_steps": 10,
    "average_decay": 0.0,
    "precision": "float32",
    "threads": 1,
    "quiet": True,
}


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Numbers, and the same in another language, in the opposite order."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = chance.choice(list(NUMBERS), size=chance.integers(1, 5)).tolist()
        found.append((" ".join(words), " ".join(NUMBERS[word] for word in reversed(words))))
    return found


def written(folder: Path, found: list[tuple[str, str]]) -> tuple[Path, Path]:
    """As two text files."""
    source, target = folder / "a.en", folder / "a.de"
    source.write_text("".join(f"{one}\n" for one, _ in found))
    target.write_text("".join(f"{other}\n" for _, other in found))
    return source, target


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one's own sentences, in both directions."""
    folder = tmp_path_factory.mktemp("own")
    source, target = written(folder, sentences(400, 0))
    return run(TranslateRecipe, {"source": source, "target": target, "out": folder / "models", **SMALL})


def test_own_sentences_become_a_translator_that_a_server_takes(trained: Path) -> None:
    """It reverses sentences that it has not seen; its bits are proved; its card has the baselines."""
    bundle = read_bundle(trained)
    verify(trained, REGISTERED)
    assert bundle.manifest.spec_as(TranslateSpec).pairs == ["en-de", "de-en"]
    main = [quality for quality in bundle.manifest.quality if quality.baselines]
    assert [quality.metric[:4] for quality in main] == ["BLEU", "BLEU"]
    assert set(main[0].baselines) == {"greedy", "the source itself", "translation of the nearest sentence"}
    asked = [pair for pair in sentences(60, 1) if len(pair[0].split()) >= 2]
    with ServerProcess(trained.parent.parent, tasks="translate") as server, server.client() as client:
        body = {"text": [one for one, _ in asked], "source": "en", "target": "de", "no_repeat_ngram": 0}
        answer = client.post("/translate", json=body).json()
    right = [item["text"] == truth for item, (_, truth) in zip(answer["translations"], asked, strict=True)]
    assert np.mean(right) > 0.5


def test_a_csv_is_read_and_both_graphs_give_what_pytorch_gives(tmp_path: Path) -> None:
    """One direction, without attention: found by the same search in PyTorch and in the graphs."""
    csv = tmp_path / "phrases.csv"
    lines = [f"{one};{other}" for one, other in sentences(120, 2)]
    csv.write_text("\n".join(["english;german", *lines]))
    given: dict[str, Any] = {
        "csv": csv,
        "source_column": "english",
        "target_column": "german",
        "pairs": "en-de",
    }
    settings = {**SMALL, "attention": 0, "cell": "gru", "epochs": 1}
    often = TranslateRecipe.load(TranslateOptions(**given), {**settings, "epochs": None}, None)
    assert often.settings.epochs * often.batches_per_epoch >= LEAST_STEPS
    recipe = TranslateRecipe.load(TranslateOptions(**given), settings, None)
    assert recipe.settings.epochs == 1
    torch.manual_seed(0)
    net = recipe.build_net().eval()
    bundle = read_bundle(run(TranslateRecipe, {**given, "out": tmp_path / "models", **settings}))
    texts = [one for one, _ in sentences(9, 3)] + [""]
    by_graph = translations(MeasuredBundle(bundle), recipe.vocabulary, texts, "de", 3)
    assert by_graph[-1] == ""
    assert len(translations(MeasuredNet(net, Encoder(net)), recipe.vocabulary, texts, "de", 1)) == len(texts)
    assert not bundle.manifest.spec_as(TranslateSpec).attention


def test_batches_have_every_example_once_and_sources_of_one_length() -> None:
    """Whatever the order; targets are padded, sources never."""
    chance = np.random.default_rng(0)
    examples = [
        Example(
            tuple(chance.integers(1, 9, chance.integers(1, 6))),
            tuple(chance.integers(1, 9, chance.integers(2, 9))),
        )
        for _ in range(100)
    ]
    for random in (None, np.random.default_rng(1)):
        found = []
        for batch in batches(examples, 7, random):
            assert len(batch.source) <= 7
            for source, first, target in zip(batch.source, batch.inputs[:, :1], batch.targets, strict=True):
                kept = target[target != PAD]
                found.append((tuple(source.tolist()), (*first.tolist(), *kept.tolist())))
        assert sorted(found) == sorted((example.source, example.target) for example in examples)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "--source FILE and --target FILE"),
        ({"dataset": "europarl"}, "allowed: multi30k"),
        ({"dataset": "multi30k", "pairs": "en-it"}, "no 'it'"),
        ({"source": "short.en", "target": "short.de"}, "at least 40"),
        ({"source": "a.en", "target": "short.de"}, "each line needs its translation"),
        ({"source": "latin.en", "target": "a.de"}, "not UTF-8"),
        ({"source": "none.en", "target": "a.de"}, "cannot read 'none.en'"),
        ({"source": "a.en", "target": "a.de", "pairs": "english-de"}, "no direction such as en-de"),
        ({"source": "a.en", "target": "a.de", "pairs": "en-de,de-fr"}, "its reverse"),
        ({"csv": "a.csv"}, "--source-column"),
    ],
)
def test_data_that_cannot_be_used_are_refused_in_words(
    tmp_path: Path, given: dict[str, str], words: str
) -> None:
    """In one sentence, which names the option."""
    written(tmp_path, sentences(50, 0))
    for name in ("short.en", "short.de"):
        (tmp_path / name).write_text("one\ntwo\n")
    (tmp_path / "latin.en").write_bytes("fünf\n".encode("latin-1"))
    (tmp_path / "a.csv").write_text("english,german\none,eins\n")
    paths: dict[str, Any] = {
        name: tmp_path / value if name in ("source", "target", "csv") else value
        for name, value in given.items()
    }
    with pytest.raises(DataError, match=words):
        TranslateRecipe.load(TranslateOptions(**paths), {}, data_folder() if "pairs" in given else None)


def test_the_nearest_sentence_is_the_one_that_shares_rare_words() -> None:
    """A word that all have tells little."""
    known = [
        Pair("a red dog", "rot", "en", "de"),
        Pair("a cat", "katze", "en", "de"),
        Pair("a dog", "hund", "en", "de"),
    ]
    assert nearest(known, ["the cat", "red"]) == ["katze", "rot"]


def test_moses_tokens_are_those_of_the_authors() -> None:
    """What they published as tokenised is what this makes of the raw text, so BLEU means the same."""
    folder = data_folder()
    if folder is None:
        pytest.skip("the public data are not here")
    tokenised = folder / "translation/multi30k/tok/test_2016_flickr.lc.norm.tok.de.gz"
    truth = gzip.decompress((folder / f"{FOLDER}/{TESTS[0]}.de.gz").read_bytes()).decode().splitlines()
    theirs = gzip.decompress(tokenised.read_bytes()).decode().splitlines()
    assert moses_bleu(truth, truth, "de") == pytest.approx(100)
    assert [text.split() for text in moses_tokens(truth, "de")] == [text.split() for text in theirs]


def test_the_built_in_data_have_their_official_parts() -> None:
    """29,000 sentences in each direction, and three test parts."""
    folder = data_folder()
    if folder is None:
        pytest.skip("the public data are not here")
    corpus = load(TranslateOptions(dataset="multi30k", pairs="en-fr,de-en"), DataStore.open(folder).folder, 0)
    assert (len(corpus.train), len(corpus.validation)) == (58_000, 2_028)
    assert {name: len(pairs) for name, pairs in corpus.test.items()} == dict(
        zip(TESTS, (2000, 2000, 922), strict=True)
    )
    assert corpus.languages == ("de", "en", "fr")
