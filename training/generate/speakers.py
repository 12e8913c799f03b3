"""Plays with other names: what makes a language model copy names instead of knowing them.

In a play's text one character in seventeen belongs to a speaker's name. A network that has learned
those of its training plays by heart is lost in a new play; one that has seen every play under many
names must take them from the text before. Headings are lines such as ``ROMEO:`` after a blank line.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

_HEADING = re.compile(r"(?:^|(?<=\n\n))([A-Z][A-Z' ]+):\n")
_WORD = re.compile(r"[A-Z]{3,}")
# Ranks that many plays share are no names.
# fmt: off
_RANKS = frozenset((
    "KING", "QUEEN", "DUKE", "DUCHESS", "PRINCE", "PRINCESS", "LORD", "LADY", "EARL", "COUNT", "SIR",
    "FRIAR", "BISHOP", "ARCHBISHOP", "MAYOR", "FIRST", "SECOND", "THIRD", "THE", "AND", "OF", "GHOST",
    "MASTER", "MISTRESS", "NURSE", "ABBOT", "CHORUS",
))
_ONSETS = (
    "b", "br", "c", "ch", "cl", "d", "dr", "f", "fr", "g", "gr", "h", "j", "k", "l", "m", "n", "p",
    "ph", "pr", "qu", "r", "s", "sh", "st", "t", "th", "tr", "v", "w", "z", "", "", "", "", "", "",
)
_VOWELS = (
    "a", "a", "e", "e", "i", "i", "o", "o", "u", "ia", "ea", "ei", "io", "au", "y",
)
_CODAS = (
    "n", "r", "l", "s", "t", "m", "nd", "rt", "ck", "x", "ll", "ss", "n", "r", "s", "us", "o",
)
# fmt: on
_SEGMENT_CHARACTERS = (6_000, 24_000)


class SpeakerRenamer:
    """Gives the speakers of a play's text other names.

    Args:
        text: in which blank lines part speeches, each begun by its speaker's name in capitals.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        words = Counter(word for heading in _HEADING.findall(text) for word in _WORD.findall(heading))
        names = sorted(word for word, count in words.items() if count > 1 and word not in _RANKS)
        self.names = tuple(names)
        forms = [form for name in names for form in (name, name.capitalize())]
        self._pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, forms)) + r")\b") if forms else None

    def renamed(self, random: np.random.Generator, share: float) -> str:
        """The text with this share of its names replaced by invented ones.

        A name keeps its replacement for a stretch of 6,000 to 24,000 characters, in capitals and in
        the speeches alike.
        """
        if self._pattern is None or share <= 0:
            return self._text
        pieces: list[str] = []
        begin = 0
        while begin < len(self._text):
            size = int(random.integers(*_SEGMENT_CHARACTERS))
            end = self._text.find("\n\n", begin + size)
            end = len(self._text) if end < 0 else end + 2
            pieces.append(self._replace(self._text[begin:end], random, share))
            begin = end
        return "".join(pieces)

    def _replace(self, piece: str, random: np.random.Generator, share: float) -> str:
        assert self._pattern is not None
        chosen: dict[str, str] = {}

        def other(match: re.Match[str]) -> str:
            word = match[0]
            name = word.upper()
            if name not in chosen:
                chosen[name] = invented_name(random) if random.random() < share else name
            return chosen[name] if word.isupper() else chosen[name].capitalize()

        return self._pattern.sub(other, piece)


def invented_name(random: np.random.Generator) -> str:
    """One to three syllables that can be spoken, in capitals."""
    syllables = [
        _ONSETS[random.integers(len(_ONSETS))] + _VOWELS[random.integers(len(_VOWELS))]
        for _ in range(int(random.integers(1, 4)))
    ]
    return ("".join(syllables) + _CODAS[random.integers(len(_CODAS))]).upper()
