"""What the recipe trains on: a built-in text or the user's, in three parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from app.bundle.manifest import Source
from training.data.download import DataStore
from training.generate.corpus import TextSplit, read_text, split_lines, split_stream
from training.recipe import file_source

BUILT_IN = {
    "tinyshakespeare": "language_modelling/tinyshakespeare/input.txt",
    "names": "language_modelling/names/names.txt",
}

_REFERENCES = {"names": {"makemore transformer (its README, another split)": 1.92}}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text ready to train on.

    Attributes:
        title: what the figures are said to be about.
        parts: the three parts of the text.
        sources: the files it came from.
        references: published figures.
    """

    title: str
    parts: TextSplit
    sources: tuple[Source, ...]
    references: dict[str, float] = field(default_factory=dict)


def load_built_in(dataset: str, lines: bool, seed: int, store: DataStore) -> Corpus:
    """Read and split a data set of ``BUILT_IN``.

    Args:
        dataset: its name.
        lines: each line is a text of its own.
        seed: of the split, when it is random.
        store: where it is.

    Raises:
        DataError: the file is missing or not the one expected.
    """
    path = BUILT_IN[dataset]
    parts = _split(store.file(path), lines, seed)
    return Corpus(dataset, parts, (store.source(path),), _REFERENCES.get(dataset, {}))


def load_file(path: Path, lines: bool, seed: int) -> Corpus:
    """Read and split the user's text.

    Raises:
        DataError: the file cannot be used; the message says why.
    """
    sources = (file_source(path),)
    return Corpus(path.name, _split(path, lines, seed), sources)


def _split(path: Path, lines: bool, seed: int) -> TextSplit:
    text = read_text(path)
    return split_lines(text, seed) if lines else split_stream(text)
