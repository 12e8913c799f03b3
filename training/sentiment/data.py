"""What the sentiment recipe trains on: the built-in reviews and phrases, or the user's CSV."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app.bundle.manifest import Source
from app.features.text import TextCodec
from training.data.download import DataStore
from training.recipe import file_source
from training.sentiment.composed import composed_sentences
from training.sentiment.labelled_csv import read_labelled_csv, split_labelled
from training.sentiment.reviews import (
    SENTIMENT_LABELS,
    LabelledTexts,
    binary_sentences,
    graded_phrases,
    read_imdb,
    read_trees,
    whole_sentences,
)
from training.tokenizers import UNKNOWN_ID

BUILT_IN = ("sst-imdb",)
IMDB_HELD_OUT = 2500
COMPOSED = 30_000
_IMDB = "sentiment/imdb/aclImdb_labelled_50k.tar.gz"
_SST = {part: f"sentiment/sst/trees/{part}.txt.gz" for part in ("train", "dev", "test")}

PATHS = (_IMDB, *_SST.values())
_REFERENCES = {
    "SST-2": {"constituency Tree-LSTM with GloVe (Tai et al. 2015)": 0.880},
    "IMDb": {"LSTM (Dai & Le 2015)": 0.865, "SA-LSTM with unlabelled reviews (Dai & Le 2015)": 0.9276},
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """One labelled data set in three parts.

    Attributes:
        title: what its figures are said to be about.
        split: which part the figures are measured on.
        references: published figures.
        names: of the labels.
        whole: whether its training texts are whole texts, which a language model may learn from.
    """

    title: str
    split: str
    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts
    references: dict[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = SENTIMENT_LABELS
    whole: bool = True

    @property
    def running_texts(self) -> list[str]:
        """What a language model may learn from: training texts, once each, none of the test part."""
        if not self.whole:
            return []
        tested = {_plain(text) for text in self.test.texts}
        found = {_plain(text): text for text in self.train.texts}
        return [text for plain, text in found.items() if plain not in tested]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts as token ids with their labels, and how sure these are."""

    tokens: list[list[int]]
    labels: list[int]
    confidence: list[float]

    @property
    def pair(self) -> tuple[list[list[int]], list[int]]:
        """Tokens and labels."""
        return self.tokens, self.labels

    def only(self, labels: Collection[int]) -> Labelled:
        """Those with one of ``labels``."""
        kept = [at for at, label in enumerate(self.labels) if label in labels]
        return Labelled(
            [self.tokens[at] for at in kept],
            [self.labels[at] for at in kept],
            [self.confidence[at] for at in kept],
        )


def load_reviews(store: DataStore, seed: int) -> tuple[list[Corpus], tuple[Source, ...]]:
    """The treebank without neutral sentences, IMDb, and the treebank with them, in three parts each.

    The last has no training texts of its own, since they would be those of the first again.

    Raises:
        DataError: a file is missing or not the one expected.
    """
    whole, test = read_imdb(store.file(_IMDB))
    order = np.random.default_rng(seed).permutation(len(whole)).tolist()
    held_out, kept = whole.take(order[:IMDB_HELD_OUT]), whole.take(order[IMDB_HELD_OUT:])
    imdb = Corpus("IMDb", "test", kept, held_out, test, _REFERENCES["IMDb"])
    trees = {part: read_trees(store.file(path)) for part, path in _SST.items()}
    sst = Corpus(
        "SST-2",
        "test",
        graded_phrases(trees["train"]) + composed_sentences(COMPOSED, seed),
        binary_sentences(trees["dev"]),
        binary_sentences(trees["test"]),
        _REFERENCES["SST-2"],
        whole=False,
    )
    three = Corpus(
        "SST, three labels",
        "test",
        LabelledTexts([], []),
        whole_sentences(trees["dev"]),
        whole_sentences(trees["test"]),
        whole=False,
    )
    return [sst, imdb, three], tuple(store.source(path) for path in PATHS)


def _plain(text: str) -> str:
    """Without case and punctuation, which published copies of a text differ in."""
    return "".join(character for character in text.lower() if character.isalnum())


def load_csv(
    path: Path, text: str, label: str, seed: int
) -> tuple[tuple[str, ...], list[Corpus], tuple[Source, ...]]:
    """The user's CSV, in three parts.

    Raises:
        DataError: it cannot be used; the message says why.
    """
    names, texts = read_labelled_csv(path, text, label)
    parts = split_labelled(names, texts, seed)
    corpus = Corpus(path.name, "random tenth of the rows, by seed", *parts, names=names)
    return names, [corpus], (file_source(path),)


def encode(codec: TextCodec, texts: LabelledTexts) -> Labelled:
    """Token ids; a text without any word reads as one unknown word."""
    tokens = [codec.encode(text) or [UNKNOWN_ID] for text in texts.texts]
    return Labelled(tokens, texts.labels, texts.confidence or [1.0] * len(tokens))
