"""What the recipe trains on: a built-in text or the user's, in three parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from app.bundle.manifest import Source
from training.data.download import DataStore
from training.generate.corpus import TextSplit, Unit, read_text, split_lines, split_stream, stripped_lines
from training.recipe import file_source

BUILT_IN = {
    "tinyshakespeare": ("language_modelling/tinyshakespeare/input.txt",),
    "names": ("language_modelling/names/names.txt",),
    # Three files are the three parts, of words.
    "ptb": tuple(f"language_modelling/ptb/ptb.{part}.txt.gz" for part in ("train", "valid", "test")),
}

_REFERENCES = {
    "names": {"makemore transformer (its README, another split)": 1.92},
    "ptb": {
        "5-gram Kneser-Ney (as cited by Press & Wolf 2016)": 141.0,
        "LSTM 2 x 650 (Zaremba et al. 2014)": 82.7,
        "LSTM of 13 million (Bai et al. 2018)": 78.93,
        "AWD-LSTM (Merity et al. 2017)": 58.8,
    },
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text ready to train on.

    Attributes:
        title: what the figures are said to be about.
        parts: the three parts of the text.
        split: which part the figures are measured on.
        sources: the files it came from.
        references: published figures.
        unit: what is counted, with the ends of lines.
    """

    title: str
    parts: TextSplit
    split: str
    sources: tuple[Source, ...]
    references: dict[str, float] = field(default_factory=dict)
    unit: Unit = "character"


def load_built_in(dataset: str, lines: bool, seed: int, store: DataStore, unit: Unit = "character") -> Corpus:
    """Read and split a data set of ``BUILT_IN``.

    Args:
        dataset: its name.
        lines: each line is a text of its own.
        seed: of the split, when it is random.
        store: where it is.
        unit: what to count; a corpus of words has them counted always.

    Raises:
        DataError: the file is missing or not the one expected.
    """
    paths = BUILT_IN[dataset]
    files = [store.file(path) for path in paths]
    sources, references = tuple(map(store.source, paths)), _REFERENCES.get(dataset, {})
    if len(files) == 1:
        return Corpus(dataset, *_split(files[0], lines, seed), sources, references, unit)
    texts = [stripped_lines(read_text(file)) for file in files]
    parts = TextSplit(*(text.splitlines() if lines else [text] for text in texts))
    return Corpus(dataset, parts, "official test", sources, references, "word")


def load_file(path: Path, lines: bool, seed: int, unit: Unit = "character") -> Corpus:
    """Read and split the user's text.

    Raises:
        DataError: the file cannot be used; the message says why.
    """
    sources = (file_source(path),)
    return Corpus(path.name, *_split(path, lines, seed), sources, unit=unit)


def _split(path: Path, lines: bool, seed: int) -> tuple[TextSplit, str]:
    """The parts, and which of them is the test part."""
    text = read_text(path)
    if lines:
        return split_lines(text, seed), "random tenth of the lines, by seed"
    return split_stream(text), "last 10 %"
