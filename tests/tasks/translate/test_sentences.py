"""Texts are cut into sentences and put together again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tasks.translate.sentences import Span, joined, sentences

TEXTS = st.text(alphabet=st.sampled_from("aB1 .!?\n\r\t\"'»„\u2028Äé…"), max_size=60)


@given(TEXTS)
def test_a_text_comes_back_when_its_sentences_stay(text: str) -> None:
    """Spans are in order, within lines, and without blanks around them."""
    spans = sentences(text)
    parts = [text[start:end] for start, end in spans]
    assert joined(text, spans, parts)[0] == text
    assert all(part and part == part.strip() and len(part.splitlines()) == 1 for part in parts)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert not "".join(text[end:start] for end, start in gaps(spans, len(text))).strip()


def gaps(spans: list[Span], length: int) -> list[tuple[int, int]]:
    """What lies before, between and behind spans."""
    ends = [0, *(span.end for span in spans)]
    starts = [*(span.start for span in spans), length]
    return list(zip(ends, starts, strict=True))


@given(TEXTS, st.lists(st.text(max_size=5), max_size=30))
def test_places_are_where_the_replacements_are(text: str, words: list[str]) -> None:
    """Whatever a sentence is replaced by."""
    spans = sentences(text)[: len(words)]
    made, places = joined(text, spans, words[: len(spans)])
    assert [made[start:end] for start, end in places] == words[: len(spans)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A dog. A cat! \u201cA bird?\u201d Yes.", ["A dog.", "A cat!", "\u201cA bird?\u201d", "Yes."]),
        ("Dr. Meier kam am 3. Mai um 10.30 Uhr.", ["Dr. Meier kam am 3. Mai um 10.30 Uhr."]),
        ("J. R. Smith runs. he stops", ["J. R. Smith runs. he stops"]),
        ("one\n\n  two \r\nthree", ["one", "two", "three"]),
        ("  \n ", []),
        ("Ende… Anfang", ["Ende…", "Anfang"]),
    ],
)
def test_sentences_end_where_people_end_them(text: str, parts: list[str]) -> None:
    """Initials, ordinals and abbreviations end none."""
    assert [text[start:end] for start, end in sentences(text)] == parts
