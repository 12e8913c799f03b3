"""Log-probabilities of texts and, with ``echo``, of prompts: their shape, and that they are the model's."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from openai.types import CompletionChoice
from openai.types.completion_choice import Logprobs

from app.features.text import TextCodec
from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess

SHAKESPEARE = TextCodec((SHIPPED / "shakespeare/2/tokenizer.json").read_text())
NAMES = TextCodec((SHIPPED / "names/1/tokenizer.json").read_text())
LONG = "First Citizen:\nBefore we proceed any further, hear me speak.\n\n" * 14
"""Several of the engine's chunks, and not a whole number of them."""


def logprobs_of(choice: CompletionChoice) -> Logprobs:
    """They are there, and of one length."""
    found = choice.logprobs
    assert found is not None
    assert found.tokens is not None
    assert found.token_logprobs is not None
    assert found.top_logprobs is not None
    assert found.text_offset is not None
    lengths = {
        len(found.tokens),
        len(found.token_logprobs),
        len(found.top_logprobs),
        len(found.text_offset),
    }
    assert len(lengths) == 1
    return found


def session_logprobs(server: ServerProcess, model: str, text: str) -> list[float | None]:
    """What a session that is fed the text says of each of its tokens."""
    with server.client() as http:
        id = http.post("/sessions", json={"model": model}).json()["id"]
        outputs = http.post(f"/sessions/{id}/steps", json={"inputs": text}).json()["outputs"]
    return [one["logprob"] for one in outputs]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_each_token_has_its_alternatives(client: openai.OpenAI, count: int) -> None:
    """So many of the most likely, and always the token itself."""
    answer = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=30, seed=6, logprobs=count
    )
    found = logprobs_of(answer.choices[0])
    assert "".join(found.tokens or ()) == answer.choices[0].text
    assert found.text_offset == list(range(30))
    for token, logprob, top in zip(
        found.tokens or (), found.token_logprobs or (), found.top_logprobs or (), strict=True
    ):
        assert top[token] == logprob <= 0
        assert max(1, count) <= len(top) <= count + 1
        assert sorted(top.values(), reverse=True)[: len(top)] == list(top.values())


def test_a_greedy_token_is_the_likeliest(client: openai.OpenAI) -> None:
    """Bit for bit, which is how evaluation harnesses tell that a text is greedy."""
    answer = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=30, temperature=0, logprobs=1
    )
    found = logprobs_of(answer.choices[0])
    for logprob, top in zip(found.token_logprobs or (), found.top_logprobs or (), strict=True):
        assert logprob == max(top.values())


@pytest.mark.parametrize(("model", "text"), [("shakespeare", LONG), ("names", "annabelle")])
def test_a_prompt_is_scored_as_a_session_scores_it(
    server: ServerProcess, client: openai.OpenAI, model: str, text: str
) -> None:
    """Nothing generated: the prompt comes back with the log-probability of each of its tokens."""
    answer = client.completions.create(model=model, prompt=text, max_tokens=0, echo=True, logprobs=2)
    choice = answer.choices[0]
    assert choice.text == text
    assert choice.finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(text), 0)
    found = logprobs_of(choice)
    assert found.tokens == list(text)
    assert found.text_offset == list(range(len(text)))
    expected = session_logprobs(server, model, text)
    assert found.token_logprobs == pytest.approx(expected, abs=2e-6)
    first = (found.top_logprobs or [])[0]
    # Where a start token precedes every text, even the first token was predicted.
    assert (first is None) == (expected[0] is None) == (model == "shakespeare")


def test_many_long_prompts_are_each_scored_as_if_alone(client: openai.OpenAI) -> None:
    """More logits at once than the event loop takes upon itself."""
    prompts = [LONG[place:] for place in range(0, 480, 40)]
    asked: dict[str, Any] = {"model": "shakespeare", "max_tokens": 0, "echo": True, "logprobs": 1}
    together = client.completions.create(prompt=prompts, **asked)
    for place in (0, 5, 11):
        alone = client.completions.create(prompt=prompts[place], **asked).choices[0]
        assert together.choices[place].model_dump(exclude={"index"}) == alone.model_dump(exclude={"index"})


def test_a_generated_text_scores_the_same_as_a_prompt(client: openai.OpenAI) -> None:
    """The two ways to the same number agree, alternatives included."""
    answer = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=50, seed=8, logprobs=3
    )
    generated = logprobs_of(answer.choices[0])
    text = "ROMEO:" + answer.choices[0].text
    scored = logprobs_of(
        client.completions.create(
            model="shakespeare", prompt=text, max_tokens=0, echo=True, logprobs=3
        ).choices[0]
    )
    assert (scored.token_logprobs or [])[6:] == pytest.approx(generated.token_logprobs, abs=2e-6)
    for one, other in zip(scored.top_logprobs[6:], generated.top_logprobs, strict=True):  # type: ignore[index, arg-type]  # both are there
        assert one == pytest.approx(other, abs=2e-6)


def test_scoring_the_prompt_does_not_change_the_text(client: openai.OpenAI) -> None:
    """Text and its log-probabilities follow those of the prompt, at offsets behind it."""
    asked: dict[str, Any] = {"model": "shakespeare", "max_tokens": 25, "n": 2, "seed": 14, "logprobs": 1}
    prompts = [LONG, "O"]
    plain = client.completions.create(prompt=prompts, **asked)
    echoed = client.completions.create(prompt=prompts, **asked, echo=True)
    for index, (one, other) in enumerate(zip(plain.choices, echoed.choices, strict=True)):
        prompt = prompts[index // 2]
        assert other.text == prompt + one.text
        texts, both = logprobs_of(one), logprobs_of(other)
        assert (both.tokens or [])[len(prompt) :] == texts.tokens
        assert (both.token_logprobs or [])[len(prompt) :] == texts.token_logprobs
        assert both.text_offset == list(range(len(other.text)))


@pytest.mark.parametrize(("model", "codec"), [("shakespeare", SHAKESPEARE), ("names", NAMES)])
def test_an_evaluation_harness_can_score_continuations(
    server: ServerProcess, client: openai.OpenAI, model: str, codec: TextCodec
) -> None:
    """As lm-eval asks: token ids, one greedy token more, which it takes off the end again."""
    pairs = [("ma", "ria"), ("an", "na"), ("mar", "y"), ("joh", "n")]
    answer = client.completions.create(
        model=model,
        prompt=[codec.encode(context + text) for context, text in pairs],
        max_tokens=1,
        temperature=0,
        logprobs=1,
        echo=True,
        seed=1234,
    )
    for (context, text), choice in zip(pairs, answer.choices, strict=True):
        found = logprobs_of(choice)
        scores = (found.token_logprobs or [])[len(context) : -1]
        expected = session_logprobs(server, model, context + text)[len(context) :]
        assert scores == pytest.approx(expected, abs=2e-6)
        tops = (found.top_logprobs or [])[len(context) : -1]
        greedy = all(score == max(top.values()) for score, top in zip(scores, tops, strict=True))
        likeliest = client.completions.create(
            model=model, prompt=context, max_tokens=len(text), temperature=0
        )
        assert greedy == (likeliest.choices[0].text == text)


def test_a_text_that_ends_at_once_has_the_log_probability_of_that(client: openai.OpenAI) -> None:
    """Else a harness would take a token of the prompt off the end."""
    for prompt in ("mary", "anna", "emily", "john", "katherine", "isabelle"):
        choice = client.completions.create(
            model="names", prompt=prompt, max_tokens=1, temperature=0, echo=True, logprobs=1
        ).choices[0]
        found = logprobs_of(choice)
        assert len(found.tokens or ()) == len(prompt) + 1
        if choice.finish_reason == "stop":
            break
    else:
        pytest.fail("no name is ended by the model")
    assert choice.text == prompt
    assert (found.tokens or [])[-1] == "\n"
    assert (found.token_logprobs or [])[-1] == max((found.top_logprobs or [])[-1].values())
    assert (found.text_offset or [])[-1] == len(prompt)


@pytest.mark.parametrize("as_ids", [False, True])
def test_tokens_that_are_parts_of_characters_keep_their_places(
    text_models: Any, client: openai.OpenAI, as_ids: bool
) -> None:
    """Every token is listed, at the character that it begins or belongs to."""
    codec = TextCodec((text_models / "tiny-bpe/1/tokenizer.json").read_text())
    text = "the théâtre, 日本 ça"
    ids = codec.encode(text)
    assert len(ids) != len(text)
    prompt: Any = ids if as_ids else text
    choice = client.completions.create(
        model="tiny-bpe", prompt=prompt, max_tokens=40, seed=3, echo=True, logprobs=1
    ).choices[0]
    found = logprobs_of(choice)
    assert choice.text.startswith(text)
    tokens, offsets = found.tokens or [], found.text_offset or []
    assert len(tokens) == len(ids) + 40
    assert offsets == sorted(offsets)
    assert offsets[len(ids)] == len(text)
    assert offsets[-1] <= len(choice.text)
    for token, offset in list(zip(tokens, offsets, strict=True))[: len(ids)]:
        if token.isascii() and token.strip():
            assert choice.text[offset : offset + len(token)] == token
    assert " th" in tokens or " the" in tokens, "a token is written as text, not as the vocabulary has it"


def test_a_stop_string_takes_its_tokens_out_of_the_list(client: openai.OpenAI) -> None:
    """What is not in the text has no entry."""
    choice = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=200, seed=6, logprobs=1, stop=["th"]
    ).choices[0]
    assert choice.finish_reason == "stop"
    assert "".join(logprobs_of(choice).tokens or ()) == choice.text
    assert "th" not in choice.text


def test_banned_tokens_have_a_probability_that_json_can_hold(client: openai.OpenAI) -> None:
    """A prompt with a character that the model does not know is scored, not refused."""
    found = logprobs_of(
        client.completions.create(
            model="shakespeare", prompt="a€b", max_tokens=0, echo=True, logprobs=0
        ).choices[0]
    )
    assert found.tokens == ["a", "<unk>", "b"]
    assert all(math.isfinite(one) for one in (found.token_logprobs or [])[1:])
