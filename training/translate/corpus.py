"""Sentences with their translations, and the vocabulary that all languages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.bundle.manifest import Source
from app.features.text import TextCodec


class Pair(NamedTuple):
    """A sentence and its translation, and which languages they are in."""

    source: str
    target: str
    source_language: str
    target_language: str


class Example(NamedTuple):
    """The tokens of a pair: the source with its end; the target between its language's token and its end."""

    source: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens of the texts, behind them the end, and behind it a token for each target language.

    Attributes:
        codec: knows the tokens of texts.
        languages: in the order of their tokens.
    """

    codec: TextCodec
    languages: tuple[str, ...]

    @property
    def end(self) -> int:
        return self.codec.size

    @property
    def size(self) -> int:
        return self.end + 1 + len(self.languages)

    def start(self, language: str) -> int:
        return self.end + 1 + self.languages.index(language)

    def example(self, pair: Pair) -> Example:
        source, target = self.codec.encode(pair.source), self.codec.encode(pair.target)
        return Example((*source, self.end), (self.start(pair.target_language), *target, self.end))


@dataclass(frozen=True, slots=True)
class Corpus:
    """What there is to learn and to measure.

    Attributes:
        name: for people.
        directions: ``(source language, target language)``.
        test: by the name of the part.
    """

    name: str
    directions: tuple[tuple[str, str], ...]
    train: Sequence[Pair]
    validation: Sequence[Pair]
    test: Mapping[str, Sequence[Pair]]
    sources: tuple[Source, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({language for direction in self.directions for language in direction}))
