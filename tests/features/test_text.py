"""The tokenizer of a bundle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BundleError
from app.features.text import TextCodec
from training.tokenizers import bpe_tokenizer, character_tokenizer

ALPHABET = "abc é\n"
CHARACTERS = TextCodec(character_tokenizer([ALPHABET]))
BYTES = TextCodec(bpe_tokenizer(["the thé then there"] * 3, 270))


@given(st.text(ALPHABET))
def test_characters_round_trip(text: str) -> None:
    """Known characters come back exactly, one token each."""
    ids = CHARACTERS.encode(text)
    assert len(ids) == len(text)
    assert CHARACTERS.decode(ids) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30))
def test_any_text_streams_to_what_it_decodes_to(text: str) -> None:
    """Pieces of a byte-pair text, pushed token by token, join to the whole."""
    ids = BYTES.encode(text)
    stream = BYTES.stream()
    assert "".join(stream(token) for token in ids) == BYTES.decode(ids) == text


def test_what_training_never_saw_is_the_unknown_token() -> None:
    """And it is known which token that is."""
    assert CHARACTERS.encode("z") == [CHARACTERS.unknown]


def test_offsets_point_into_the_text() -> None:
    """Each token knows the characters it came from."""
    ids, spans = CHARACTERS.encode_with_offsets("aéb")
    assert len(ids) == 3
    assert spans == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("definition", ["", "{}", "[1]", '{"model": {}}'])
def test_what_is_no_tokenizer_is_refused(definition: str) -> None:
    """With an error of the bundle."""
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        TextCodec(definition)
