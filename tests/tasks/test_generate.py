"""Generation requests to sequences, tokens to text that ends before a stop string."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bundle.reader import read_bundle
from app.core.errors import InvalidInput
from app.core.sequence import Token
from app.features.text import TextCodec
from app.tasks.decoded.prepare import DecodingLimits
from app.tasks.decoded.text import TextAssembler, stop_strings
from app.tasks.generate.model import GenerateModel
from app.tasks.generate.schema import GenerateRequest
from training.tokenizers import bpe_tokenizer, character_tokenizer

CODEC = TextCodec(character_tokenizer(["abc\n"]))


@pytest.fixture
def task(tiny_models: Path) -> GenerateModel:
    """Of a tiny language model, with small limits."""
    bundle = read_bundle(tiny_models / "tiny-text-lstm" / "1")
    limits = DecodingLimits(
        max_text_chars=20, max_prompt_tokens=10, max_tokens=500, max_choices=3, max_stop=2
    )
    return GenerateModel(bundle, limits)


def test_an_empty_prompt_starts_with_the_start_token(task: GenerateModel) -> None:
    """A prompt is fed as it is."""
    assert len(task.prepare(GenerateRequest(), 1).sequences[0].steps) == 1
    assert len(task.prepare(GenerateRequest(prompt="abc"), 1).sequences[0].steps) == 3


def test_each_choice_has_its_own_seed_and_the_reported_one_repeats_all(task: GenerateModel) -> None:
    """Choice i uses the seed plus i; without a seed the drawn one is reported."""
    prepared = task.prepare(GenerateRequest(n=3), 40)
    seeds = [one.feedback.sampling.seed for one in prepared.sequences if one.feedback]
    assert (seeds, prepared.seed) == ([40, 41, 42], 40)
    assert task.prepare(GenerateRequest(seed=2**63 - 1, n=2), 0).seed == 2**63 - 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (GenerateRequest(max_tokens=501), "max_tokens"),
        (GenerateRequest(n=4), "n"),
        (GenerateRequest(stop=["a", "b", "c"]), "stop"),
        (GenerateRequest(prompt="a" * 21), "prompt"),
        (GenerateRequest(prompt="a" * 11), "prompt"),
    ],
)
def test_what_is_over_a_limit_is_refused_by_field(
    task: GenerateModel, request_: GenerateRequest, field: str
) -> None:
    """With the limit in the error."""
    with pytest.raises(InvalidInput) as caught:
        task.prepare(request_, 0)
    assert caught.value.field == field
    assert caught.value.allowed


def test_token_ids_are_a_prompt(task: GenerateModel) -> None:
    """The steps are those of the text; an id that is none is named."""
    ids = task.codec.encode("abc")
    steps = task.prepare(GenerateRequest(prompt=ids), 0).sequences[0].steps
    assert steps.tolist() == task.prepare(GenerateRequest(prompt="abc"), 0).sequences[0].steps.tolist()
    with pytest.raises(InvalidInput) as caught:
        task.prepare(GenerateRequest(prompt=[1, -1]), 0)
    assert caught.value.field == "prompt.1"
    with pytest.raises(InvalidInput) as caught:
        task.prepare(GenerateRequest(prompt=[1] * 11), 0)
    assert caught.value.allowed == {"max": 10}


def test_a_last_token_without_text_still_has_its_log_probability() -> None:
    """A part of a character that nothing completes; where it would have begun is known."""
    codec = TextCodec(bpe_tokenizer(["cafe"], 300))
    ids = codec.encode("aé")
    assert len(ids) == 3
    assembler = TextAssembler(codec, (), logprobs=True)
    pieces = [assembler.push([Token(one, -1.0)], last=place == 1) for place, one in enumerate(ids[:2])]
    assert [piece.text for piece in pieces] == ["a", ""]
    assert [[one.start for one in piece.logprobs or ()] for piece in pieces] == [[0], [1]]


def test_half_a_surrogate_is_not_text(task: GenerateModel) -> None:
    """JSON can carry one; no tokenizer can."""
    with pytest.raises(InvalidInput):
        task.prepare(
            GenerateRequest.model_construct(**(GenerateRequest().model_dump() | {"prompt": "\ud800"})), 0
        )


def tokens_of(text: str) -> list[Token]:
    """One token per character."""
    return [Token(token, -1.0) for token in CODEC.encode(text)]


texts = st.text("abc\n", max_size=30)
stops = st.lists(st.text("abc\n", min_size=1, max_size=4), max_size=3).map(tuple)


@given(texts, stops, st.data())
def test_text_ends_before_the_first_stop_string_however_it_arrives(
    text: str, stop: tuple[str, ...], data: st.DataObject
) -> None:
    """Cut into any frames, the pieces join to the text up to its first completed stop string."""
    ends = [text.find(one) + len(one) for one in stop if one in text]
    done = text[: min(ends)] if ends else text
    expected = done[: min((done.find(one) for one in stop if one in done), default=len(done))]
    assembler = TextAssembler(CODEC, stop, logprobs=True)
    pieces, left = [], tokens_of(text)
    while left:
        size = data.draw(st.integers(1, len(left)))
        pieces.append(assembler.push(left[:size], last=size == len(left)))
        left = left[size:]
    pieces.append(assembler.push([], last=True))
    assert "".join(piece.text for piece in pieces) == expected
    logprobs = [entry for piece in pieces for entry in piece.logprobs or ()]
    assert "".join(entry.token for entry in logprobs) == expected
    for piece in pieces:
        assert piece.text == "" or piece.index == len(
            "".join(one.text for one in pieces[: pieces.index(piece)])
        )


@given(texts, stops.filter(bool))
def test_the_stop_rule_fires_exactly_when_a_stop_string_is_complete(text: str, stop: tuple[str, ...]) -> None:
    """The engine ends the sequence at the token that completes one."""
    rule = stop_strings(CODEC, stop)
    fired = next((i + 1 for i, token in enumerate(CODEC.encode(text)) if rule(token)), None)
    ends = [text.find(one) + len(one) for one in stop if one in text]
    assert fired == (min(ends) if ends else None)


def test_text_that_may_become_a_stop_string_is_held_back() -> None:
    """What is certain is not."""
    assembler = TextAssembler(CODEC, ("abc",), logprobs=False)
    assert assembler.push(tokens_of("caab"), last=False).text == "ca"
    assert assembler.push(tokens_of("b"), last=False).text == "abb"
