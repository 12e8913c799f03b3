"""What the generate recipe trains on, and the baselines measured on the same split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bundle.manifest import Source
from app.core.errors import DataError
from app.features.text import TextCodec
from training.data.download import DataStore
from training.generate.baselines import NgramModel
from training.generate.corpus import TextSplit, read_text, split_lines, split_stream
from training.run import file_source
from training.tokenizers import character_tokenizer, encode_many, line_end_token

NGRAM_ORDERS = (1, 2, 3, 4, 5)

BUILT_IN = {
    "tinyshakespeare": "language_modelling/tinyshakespeare/input.txt",
    "names": "language_modelling/names/names.txt",
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text ready to train on.

    Attributes:
        title: what the figures are said to be about.
        parts: the three parts of the text.
        sources: the files it came from.
    """

    title: str
    parts: TextSplit
    sources: tuple[Source, ...]


def load_corpus(
    dataset: str | None, text: Path | None, lines: bool, seed: int, store: DataStore | None = None
) -> Corpus:
    """Read and split a built-in data set, or the user's file.

    Args:
        dataset: name of a built-in data set, or
        text: the user's file.
        lines: each line is a text of its own.
        seed: of the split, when it is random.
        store: where the built-in data sets are.

    Raises:
        DataError: neither or both are given, the name is unknown, or the file is not usable.
    """
    if (dataset is None) == (text is None):
        raise DataError(f"give either --text FILE or --dataset NAME; data sets: {', '.join(BUILT_IN)}")
    if dataset is not None:
        if dataset not in BUILT_IN:
            raise DataError(f"unknown data set {dataset!r}; allowed: {', '.join(BUILT_IN)}")
        store = store or DataStore.open()
        path = store.file(BUILT_IN[dataset])
        title, source = dataset, store.source(BUILT_IN[dataset])
    else:
        assert text is not None
        path = text
        title, source = path.name, file_source(path)
    content = read_text(path)
    parts = split_lines(content, seed) if lines else split_stream(content)
    return Corpus(title, parts, (source,))


def count_characters(texts: Sequence[str], lines: bool) -> int:
    """Characters that are predicted: the end of a line is one."""
    return sum(len(text) + lines for text in texts)


def ngram_baselines(parts: TextSplit, lines: bool) -> dict[str, float]:
    """Nats per character of n-gram models of every order, fitted on the training part."""
    codec = TextCodec(character_tokenizer(parts.train))
    boundary = line_end_token(codec)
    ending = [boundary] if lines else []
    train = [ids + ending for ids in encode_many(codec, parts.train)]
    test = [ids + ending for ids in encode_many(codec, parts.test)]
    characters = count_characters(parts.test, lines)
    return {
        f"{order}-gram": NgramModel(order, codec.size, boundary).fit(train).nats(test) / characters
        for order in NGRAM_ORDERS
    }
