"""Sentences that are composed: their labels, their variety, and that none was written for a test."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

from app.features.text import TextCodec
from training.sentiment import composed, emoticons
from training.sentiment.composed import composed_sentences
from training.sentiment.data import COMPOSED
from training.sentiment.reviews import SENTIMENT_LABELS
from training.tokenizers import word_tokenizer

SENTENCES = Path(__file__).parents[2] / "data" / "sentences.csv"


def letters(text: str) -> str:
    """Without case, spaces and full stops."""
    return "".join(mark for mark in text.lower() if not mark.isspace() and mark not in ".!?")


def test_sentences_are_different_repeat_with_their_seed_and_have_each_label_as_often() -> None:
    """All of them are texts with no pattern left open."""
    found = composed_sentences(300, seed=3)
    assert len(set(found.texts)) == 300
    assert [found.labels.count(label) for label in range(len(SENTIMENT_LABELS))] == [100, 100, 100]
    assert not any(
        mark in text for text in found.texts for mark in ("{", "}", "<main>", "<conceded>", "<thing>")
    )
    assert found == composed_sentences(300, seed=3)
    assert found != composed_sentences(300, seed=4)


def test_none_of_the_sentences_that_models_are_tested_with_is_trained_on() -> None:
    """Not even with other marks and capitals."""
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        tested = {letters(row["text"]) for row in csv.DictReader(file)}
    trained = {letters(text) for text in composed_sentences(COMPOSED, seed=0).texts}
    assert not tested & trained


def test_every_name_in_a_pattern_has_words() -> None:
    """And every list of words is used by one."""
    phrases = tomllib.loads(Path(composed.__file__).with_name("phrases.toml").read_text(encoding="utf-8"))
    named: set[str] = set()

    def look(part: object) -> None:
        if isinstance(part, str):
            named.update(piece.partition("}")[0] for piece in part.split("{")[1:])
        elif isinstance(part, dict):
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(phrases)
    assert named == set(phrases["words"])


def test_a_face_is_one_token_and_an_address_has_none() -> None:
    """Colours of skin and joiners say nothing; times, titles and figures are no faces."""
    faces = (*emoticons.POSITIVE, *emoticons.NEGATIVE, *emoticons.NEUTRAL)
    codec = TextCodec(
        word_tokenizer([*faces, "see http : / a.b at 10 30 5 3 title ( x )"], 500, 1, emoticons.TOKEN)
    )
    assert [len(codec.encode(face)) for face in faces] == [1] * len(faces)
    assert 0 not in [codec.encode(face)[0] for face in faces]
    assert codec.encode("👍🏽") == codec.encode("👍")
    assert codec.encode("❤️") == codec.encode("❤")
    for plain in ("http://a.b", "10:30", "5:3", "title:(x)"):
        tokens = [codec.token(token) for token in codec.encode(plain)]
        assert all(len(token) == 1 or token.isalnum() for token in tokens), tokens
