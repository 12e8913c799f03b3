"""Pictures with their captions, in three parts that do not overlap, and the words of the captions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenizers import Tokenizer, decoders

from app.bundle.manifest import Source
from app.features.text import TextCodec
from training.tokenizers import word_tokenizer

_WORD = r"'s\b|\w+(?:-\w+)*|[^\w\s]"
_STOP = re.compile(r"[\s.]+$")
_MARKS = (",", ".", ";", ":", "!", "?", "'s")


class Picture(NamedTuple):
    """A file by its name, and what people say of it."""

    name: str
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What there is to learn and to measure.

    Attributes:
        name: for people.
        split: how the test part was chosen, for people.
        read: the bytes of a picture by its name; raises DataError.
        detail: pixels of a side that the pictures were reduced to, if they all were.
    """

    name: str
    split: str
    train: Sequence[Picture]
    validation: Sequence[Picture]
    test: Sequence[Picture]
    sources: tuple[Source, ...]
    read: Callable[[str], bytes]
    detail: int | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words, behind them the end of a caption, and behind it its start."""

    codec: TextCodec

    @property
    def end(self) -> int:
        return self.codec.size

    @property
    def start(self) -> int:
        return self.codec.size + 1

    @property
    def size(self) -> int:
        return self.codec.size + 2

    def tokens(self, caption: str, most: int) -> list[int]:
        """From the start to the end of a caption without its full stop, or to where it is cut."""
        words = self.codec.encode(_STOP.sub("", caption))
        return [self.start, *words, self.end][: most + 1]


def caption_tokenizer(captions: Sequence[str], vocabulary: int, min_count: int) -> str:
    """Lower-cased words, those with hyphens as one, and marks, which decoding joins to the word before.

    Raises:
        TrainingError: no word occurs so often.
    """
    texts = (_STOP.sub("", caption) for caption in captions)
    tokenizer = Tokenizer.from_str(word_tokenizer(texts, vocabulary, min_count, _WORD))
    joined = [decoders.Replace(f" {mark}", mark) for mark in _MARKS]
    tokenizer.decoder = decoders.Sequence([decoders.WordPiece(prefix="##", cleanup=False), *joined])
    return str(tokenizer.to_str())


def words_of(text: str) -> list[str]:
    """The words that captions are compared by: lower-cased, without marks."""
    return re.sub(r"[^a-z0-9' ]", " ", text.lower()).split()
