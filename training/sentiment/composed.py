"""Short sentences made of parts, with the label that their construction gives them.

Reviews hardly teach what "not bad", "although" or a plain statement say, because a label covers a whole text.
Here the construction decides: a negation turns the word it governs, the main clause wins over a conceded one,
a statement of facts is neutral, and a face colours what it stands behind. All words and patterns are our own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from training.sentiment import emoticons
from training.sentiment.reviews import NEGATIVE, NEUTRAL, POSITIVE, SENTIMENT_LABELS, LabelledTexts

# Of plain, turned and contrasted sentences, and of those with a face.
_SHARES: Final = (0.2, 0.4, 0.25, 0.15)
_SIDES: Final = (SENTIMENT_LABELS[NEGATIVE], SENTIMENT_LABELS[POSITIVE])


@cache
def _phrases() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Composer:
    """Draws sentences.

    Attributes:
        random: source of all choices.
    """

    random: np.random.Generator

    def sentence(self, label: str) -> str:
        """One sentence with that label."""
        if label == SENTIMENT_LABELS[NEUTRAL]:
            return self._neutral()
        makers = (self._plain, self._turned, self._contrast, self._face)
        return makers[int(self.random.choice(len(makers), p=_SHARES))](label)

    def _of(self, choices: Sequence[str]) -> str:
        return choices[int(self.random.integers(len(choices)))]

    def _filled(self, pattern: str) -> str:
        """A pattern with its ``{names}`` filled, again and again until none is left."""
        while "{" in pattern:
            before, _, rest = pattern.partition("{")
            name, _, after = rest.partition("}")
            pattern = before + self._of(_phrases()["words"][name]) + after
        return pattern

    def _clause(self, label: str) -> str:
        """Small letters, no full stop."""
        maker = self._plain_clause if self.random.random() < 0.65 else self._turned_clause
        return maker(label)

    def _plain_clause(self, label: str) -> str:
        return self._filled(self._of(_phrases()["plain"][label]))

    def _turned_clause(self, label: str) -> str:
        return self._filled(self._of(_phrases()["turned"][label]))

    def _plain(self, label: str) -> str:
        return self._written(
            self._plain_clause(label) if self.random.random() < 0.7 else self._opinion(label)
        )

    def _opinion(self, label: str) -> str:
        return self._filled(self._of(_phrases()["opinions"][label]))

    def _turned(self, label: str) -> str:
        return self._written(self._turned_clause(label))

    def _contrast(self, label: str) -> str:
        other = _SIDES[1 - _SIDES.index(label)]
        return self._written(
            self._filled(self._of(_phrases()["conceding"]))
            .replace("<main>", self._clause(label))
            .replace("<conceded>", self._clause(other))
            .replace("<thing>", self._filled(self._of(_phrases()["things"][other])))
        )

    def _face(self, label: str) -> str:
        faces = emoticons.POSITIVE if label == "positive" else emoticons.NEGATIVE
        face = self._of(faces)
        draw = self.random.random()
        if draw < 0.15:
            return f"{face} {self._of(faces)}" if len(face) > 1 else face * 2 + self._of(faces)
        if draw < 0.3:
            face *= int(self.random.integers(2, 4)) if len(face) == 1 else 1
        about = self._fact() if self.random.random() < 0.55 else self._written(self._plain_clause(label))
        if draw > 0.9:
            return f"{face} {about}"
        return f"{about.rstrip('.') if self.random.random() < 0.5 else about} {face}"

    def _fact(self) -> str:
        return self._written(self._filled(self._of(_phrases()["facts"])), loud=0.0)

    def _neutral(self) -> str:
        fact = self._fact()
        draw = self.random.random()
        if draw < 0.05:
            return f"{fact} {self._of(emoticons.NEUTRAL)}"
        if draw < 0.2:
            return f"{fact} {self._fact()}"
        if draw < 0.3:
            link = self._of(("and", "but", "so", "because", "while"))
            return self._written(
                f"{fact.rstrip('.?')}, {link} {self._filled(self._of(_phrases()['facts']))}", loud=0.0
            )
        return fact

    def _written(self, text: str, loud: float = 0.12) -> str:
        """With a capital letter and a mark at the end, or as people type it."""
        text = text[0].upper() + text[1:]
        if text[-1] not in ".?!":
            text += "!" if self.random.random() < loud else "."
        draw = self.random.random()
        if draw < 0.1:
            text = text.rstrip(".!")
        return text.lower() if draw < 0.05 else text


def composed_sentences(number: int, seed: int) -> LabelledTexts:
    """So many different sentences, the labels in turn.

    Args:
        number: of sentences.
        seed: of the choices.
    """
    composer = Composer(np.random.default_rng(seed))
    found: dict[str, int] = {}
    while len(found) < number:
        label = len(found) % len(SENTIMENT_LABELS)
        found.setdefault(composer.sentence(SENTIMENT_LABELS[label]), label)
    return LabelledTexts(list(found), list(found.values()))
