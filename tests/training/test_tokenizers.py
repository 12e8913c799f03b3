"""Tokenizers: exact round trips, explicit unknowns, and words cut the same however they are spaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import TrainingError
from app.features.text import TextCodec
from training.tokenizers import (
    UNKNOWN,
    bpe_tokenizer,
    character_tokenizer,
    line_end_token,
    spaced_word_tokenizer,
    word_tokenizer,
)

ALPHABET = "\n\t abcXYZ.,!'\u00e9\u4e2d\U0001f600<unk>"
CHARACTERS = TextCodec(character_tokenizer([ALPHABET]))
BYTES = TextCodec(bpe_tokenizer(["the cat sat on the mat, the cat sat"] * 3, 300))


@given(st.text(alphabet=ALPHABET))
def test_characters_round_trip_exactly(text: str) -> None:
    """Spaces, tabs, line ends and wide characters come back as they were, one token each."""
    ids = CHARACTERS.encode(text)
    assert len(ids) == len(text)
    assert CHARACTERS.decode(ids) == text


@given(st.text(alphabet=ALPHABET, min_size=1))
def test_characters_can_be_decoded_one_at_a_time(text: str) -> None:
    """A stream of single tokens gives the same text as decoding them together."""
    stream = CHARACTERS.stream()
    assert "".join(stream(token) for token in CHARACTERS.encode(text)) == text


def test_an_unknown_character_is_the_unknown_token() -> None:
    """It is explicit in the ids and when decoded."""
    assert CHARACTERS.encode("a\u2603b")[1] == 0
    assert CHARACTERS.decode(CHARACTERS.encode("a\u2603b")) == f"a{UNKNOWN}b"


def test_the_line_end_always_has_a_token() -> None:
    """Even when no training text holds one."""
    codec = TextCodec(character_tokenizer(["abc"]))
    assert codec.decode([line_end_token(codec)]) == "\n"


@given(st.text())
def test_byte_pairs_round_trip_any_text(text: str) -> None:
    """Nothing is unknown to a tokenizer over bytes."""
    if not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert BYTES.decode(BYTES.encode(text)) == text


def test_byte_pairs_merge_what_is_frequent() -> None:
    """A word seen often takes fewer tokens than its letters."""
    assert len(BYTES.encode("the cat sat")) < len("the cat sat") // 2
    assert BYTES.size <= 300
    assert line_end_token(BYTES) == BYTES.encode("\n")[0]


def test_a_vocabulary_too_small_for_the_bytes_is_refused() -> None:
    """The message says what is needed."""
    with pytest.raises(TrainingError, match="at least 257"):
        bpe_tokenizer(["a"], 100)


def words(text: str) -> list[str]:
    """The words of ``text`` as a tokenizer that knows them all cuts it."""
    codec = TextCodec(word_tokenizer([text], 100))
    return [codec.token(token) for token in codec.encode(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't MISS it!", ["do", "n't", "miss", "it", "!"]),
        ("It's great<br /><br />really", ["it", "'s", "great", "really"]),
        ("a well-made film (2001).", ["a", "well", "-", "made", "film", "(", "2001", ")", "."]),
        ("\u201cwow\u201d it\u2019s", ['"', "wow", '"', "it", "'s"]),
    ],
)
def test_words_are_lower_cased_and_split_at_punctuation(text: str, expected: list[str]) -> None:
    """Clitics are words of their own; mark-up and curly quotes are plain."""
    assert words(text) == expected


def test_words_do_not_depend_on_spacing() -> None:
    """The treebank's spacing and what people type give the same tokens."""
    codec = TextCodec(word_tokenizer(["it 's not bad , is n't it ?"], 100))
    assert codec.encode("it's not bad, isn't it?") == codec.encode("it 's not bad , is n't it ?")


def test_rare_words_and_words_beyond_the_vocabulary_are_unknown() -> None:
    """The most frequent words are kept; ties are broken by the alphabet, not by order."""
    texts = ["b b b a a c c d", "unseen"]
    assert TextCodec(word_tokenizer(texts, 3)).encode("b a c d") == [1, 2, 0, 0]
    assert TextCodec(word_tokenizer(texts[::-1], 3)).encode("b a c d") == [1, 2, 0, 0]
    assert TextCodec(word_tokenizer(texts, 100, min_count=2)).encode("d b") == [0, 1]


def test_offsets_point_into_the_text_as_written() -> None:
    """Lower-casing and normalising do not move where a token came from."""
    text = "Na\u00efve, ISN\u2019T it"
    codec = TextCodec(word_tokenizer([text], 100))
    _, offsets = codec.encode_with_offsets(text)
    assert [text[begin:end] for begin, end in offsets] == ["Na\u00efve", ",", "IS", "N\u2019T", "it"]


def test_words_between_spaces_come_back_with_one_space_before_each() -> None:
    """However they were spaced; what was not among the frequent ones is unknown."""
    codec = TextCodec(spaced_word_tokenizer(["no u.s. bank\nno u.s. one"], 5))
    assert codec.size == 5
    assert codec.decode(codec.encode("no  u.s.\n\tno one")) == f" no u.s.\n no{UNKNOWN}"
    assert codec.encode("no u.s.") == codec.encode(" no\t u.s. ")
    assert codec.encode(f"no {UNKNOWN}")[1] == codec.unknown
    stream, ids = codec.stream(), codec.encode("u.s. bank\nno")
    assert "".join(map(stream, ids)) == codec.decode(ids)
    with pytest.raises(TrainingError, match="at least 3"):
        spaced_word_tokenizer(["a b"], 2)
    with pytest.raises(TrainingError, match="no spaces part the text into words"):
        spaced_word_tokenizer(["\u543e\u8f29\u306f\u732b\u3067\u3042\u308b\u3002"], 9)


def test_case_is_read_where_it_tells_words_apart() -> None:
    """Most corpora of words are in lower case; people type a capital at the beginning all the same."""
    folded, kept = (TextCodec(spaced_word_tokenizer([text], 9)) for text in ("the N cats", "may May cats"))
    assert folded.decode(folded.encode("The n Cats")) == " the n cats"
    assert kept.decode(kept.encode("May may Cats")) == f" May may{UNKNOWN}"
