"""What tells languages apart: the letters that each is written with, and words that others do not have."""

from __future__ import annotations

import re
from collections import Counter

from training.translate.corpus import Corpus

_WORD = re.compile(r"\w+")
_WORDS = 200
_TELLING = 8
"""Times more frequent than in any other language."""
_SEEN = 20
"""Times that a letter of a language is met in its texts, at least."""


def marks(corpus: Corpus) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Of each language its letters, and its most frequent telling words, in lower case."""
    words: dict[str, Counter[str]] = {code: Counter() for code in corpus.languages}
    letters: dict[str, Counter[str]] = {code: Counter() for code in corpus.languages}
    for code, text in _texts(corpus):
        low = text.lower()
        words[code].update(_WORD.findall(low))
        letters[code].update(letter for letter in low if letter.isalpha())
    return {code: ("".join(_letters(letters[code])), tuple(_words(code, words))) for code in corpus.languages}


def _texts(corpus: Corpus) -> set[tuple[str, str]]:
    """Each text once: with several directions it occurs in several pairs."""
    found = set()
    for pair in corpus.train:
        found |= {(pair.source_language, pair.source), (pair.target_language, pair.target)}
    return found


def _letters(counts: Counter[str]) -> list[str]:
    least = min(_SEEN, max(counts.values(), default=0))
    return sorted(letter for letter, count in counts.items() if count >= least)


def _words(code: str, words: dict[str, Counter[str]]) -> list[str]:
    shares = {other: max(1, counts.total()) for other, counts in words.items()}
    telling = [
        word
        for word, count in words[code].items()
        if all(
            count / shares[code] >= _TELLING * counts[word] / shares[other]
            for other, counts in words.items()
            if other != code
        )
    ]
    return sorted(telling, key=lambda word: (-words[code][word], word))[:_WORDS]
