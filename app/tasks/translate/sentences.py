"""A text as the sentences that are translated one by one; what lies between is given back as it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_LINE = re.compile(r"[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ABBREVIATIONS = (
    "Dr",
    "Mr",
    "Mrs",
    "Ms",
    "Prof",
    "St",
    "Nr",
    "No",
    "Hr",
    "Fr",
    "vs",
    "bzw",
    "ca",
    "Mme",
    "Mlle",
)
_CLOSES, _OPENS = "\"'\u201d\u2019\u00bb)\\]", "\"'\u201c\u201e\u00ab(\\[\u00bf\u00a1"
# An end, what closes with it, and a blank, before what begins a sentence. No end are the dots of initials, of
# ordinals and of abbreviations.
_BETWEEN = re.compile(
    "".join(rf"(?<!\b{word}\.)" for word in (r"[A-ZÄÖÜ]", r"\d", r"\d\d", *_ABBREVIATIONS))
    + rf"(?:(?<=[.!?…])|(?<=[.!?…][{_CLOSES}]))\s+(?=[{_OPENS}]*[A-ZÀ-ÖØ-ÞĀ-Ž0-9])"
)


class Span(NamedTuple):
    """Characters of a text, half-open."""

    start: int
    end: int


def sentences(text: str) -> list[Span]:
    """Where the sentences of a text are: each within a line, without the blanks around it."""
    found: list[Span] = []
    for line in _LINE.finditer(text):
        start = line.start()
        for gap in _BETWEEN.finditer(text, line.start(), line.end()):
            found.append(trimmed(text, start, gap.start()))
            start = gap.end()
        found.append(trimmed(text, start, line.end()))
    return [span for span in found if span.start < span.end]


def joined(text: str, spans: Sequence[Span], translations: Sequence[str]) -> tuple[str, list[Span]]:
    """The text with its sentences replaced, and where each replacement is."""
    parts: list[str] = []
    places: list[Span] = []
    length = last = 0
    for span, translation in zip(spans, translations, strict=True):
        between = text[last : span.start]
        length += len(between)
        places.append(Span(length, length + len(translation)))
        length += len(translation)
        parts += (between, translation)
        last = span.end
    return "".join([*parts, text[last:]]), places


def trimmed(text: str, start: int, end: int) -> Span:
    """A span without the blanks at its ends; an empty one where there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)
