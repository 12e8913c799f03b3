"""Which language a text is in, of those that a model knows; and what of it the model does not know."""

from __future__ import annotations

import re
from typing import NamedTuple

from app.core.errors import InvalidInput
from app.tasks.translate.spec import TranslateSpec

AUTO = "auto"
_WORD = re.compile(r"\w+")
_LOOKED_AT = 4_000
"""Characters of a text."""
_STRANGE = 0.3
"""Share of letters that no training text had, from which a text is said to be strange."""


class Guess(NamedTuple):
    """A language and how sure it is, 0 to 1."""

    code: str
    confidence: float


class Languages:
    """Words and letters that tell the languages of one model apart."""

    def __init__(self, spec: TranslateSpec) -> None:
        self.codes = tuple(language.code for language in spec.languages)
        self.directions = spec.directions
        self.pairs = spec.pairs
        self._words = {language.code: frozenset(language.words) for language in spec.languages}
        self._letters = {language.code: frozenset(language.letters) for language in spec.languages}
        self._all = frozenset().union(*self._letters.values())

    def guess(self, text: str) -> list[Guess]:
        """All languages, the likeliest first: by their words, and by letters that only some have."""
        low = text[:_LOOKED_AT].lower()
        words = _WORD.findall(low)
        letters = [letter for letter in low if letter.isalpha()]
        points = {}
        for code in self.codes:
            known = sum(word in self._words[code] for word in words)
            own = sum(letter in self._letters[code] for letter in letters)
            others = sum(letter in self._all for letter in letters)
            # A letter that the others have and this one has not says as much as a word.
            points[code] = 0.25 + max(0, known - (others - own))
        total = sum(points.values())
        found = [Guess(code, points[code] / total) for code in self.codes]
        return sorted(found, key=lambda guess: -guess.confidence)

    def choose(
        self, text: str, field: str, source: str | None, target: str | None
    ) -> tuple[str, str, Guess | None]:
        """Source, target, and how the source was found where it was not given.

        Raises:
            InvalidInput: a language or a direction is unknown, or the language of the text cannot be told.
        """
        guess = None
        if source is None or source == AUTO:
            able = [pair for pair in self.directions if target in (None, pair[1])]
            if not able:
                self._refuse("target", f"no direction leads to {target!r}")
            found = [item for item in self.guess(text) if any(item.code == pair[0] for pair in able)]
            guess = found[0]
            if len(found) > 1 and guess.confidence == found[1].confidence:
                text = "the language of this text cannot be told from its words; name it in source"
                raise InvalidInput("source" if field == "text" else field, text, allowed=[*self.codes])
            source = guess.code
        if source not in self.codes:
            self._refuse("source", f"this model does not know {source!r}")
        targets = [pair[1] for pair in self.directions if pair[0] == source]
        if target is None:
            if len(targets) != 1:
                self._refuse("target", f"from {source!r} there are several directions; name one")
            target = targets[0]
        if target not in targets:
            known = target in self.codes
            self._refuse(
                "target",
                f"no direction {source}-{target}" if known else f"this model does not know {target!r}",
            )
        return source, target, guess

    def warning(self, text: str, source: str) -> str | None:
        """What is strange about a text, if anything: letters that the model never saw are noise to it."""
        letters = [letter for letter in text[:_LOOKED_AT].lower() if letter.isalpha()]
        strange = [letter for letter in letters if letter not in self._letters[source]]
        if not letters or not self._letters[source] or len(strange) < _STRANGE * len(letters):
            return None
        shown = "".join(dict.fromkeys(strange))[:8]
        count = f"{len(strange)} of {len(letters)} letters"
        return f"{count}, such as {shown}, are none that the model saw in {source!r}"

    def _refuse(self, field: str, text: str) -> None:
        raise InvalidInput(
            field, f"{text}; this model translates {', '.join(self.pairs)}", allowed=self.pairs
        )
