"""``/v1/completions`` as a whole, asked by the unmodified ``openai`` package."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from app.features.text import TextCodec
from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess

CODEC = TextCodec((SHIPPED / "shakespeare/2/tokenizer.json").read_text())
PROMPTS = ["ROMEO:", "JULIET:\n", "", "The king is"]


def native(server: ServerProcess, **fields: Any) -> dict[str, Any]:
    """The answer of ``POST /generate``."""
    with server.client() as http:
        answer = http.post("/generate", json=fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0}, {"temperature": 0.8}, {"temperature": 1.3, "top_p": 0.7}]
)
def test_the_same_seed_gives_the_text_of_the_native_route(
    server: ServerProcess, client: openai.OpenAI, sampling: dict[str, Any]
) -> None:
    """For each of several texts, with its reason to end."""
    answer = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=60, n=3, seed=11, stop=["\n\n", "kk"], **sampling
    )
    expected = native(server, prompt="ROMEO:", max_tokens=60, n=3, seed=11, stop=["\n\n", "kk"], **sampling)
    assert [(one.text, one.finish_reason) for one in answer.choices] == [
        (one["text"], one["finish_reason"]) for one in expected["choices"]
    ]
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_none=True) == expected["usage"]
    assert answer.model == "shakespeare@2"
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")


def test_several_prompts_are_each_answered_as_if_alone(client: openai.OpenAI) -> None:
    """Choices come in the order of the prompts, and usage counts each prompt once."""
    together = client.completions.create(model="shakespeare", prompt=PROMPTS, max_tokens=12, n=2, seed=5)
    assert [one.index for one in together.choices] == list(range(8))
    texts = [one.text for one in together.choices]
    for place, prompt in enumerate(PROMPTS):
        alone = client.completions.create(model="shakespeare", prompt=prompt, max_tokens=12, n=2, seed=5)
        assert [one.text for one in alone.choices] == texts[2 * place : 2 * place + 2]
    assert together.usage is not None
    assert together.usage.prompt_tokens == sum(map(len, PROMPTS))
    assert together.usage.completion_tokens == 8 * 12
    assert together.usage.total_tokens == together.usage.prompt_tokens + 8 * 12


def test_token_ids_are_the_same_prompts(client: openai.OpenAI) -> None:
    """One list of ids, and a list of such lists."""
    asked: dict[str, Any] = {"model": "shakespeare", "max_tokens": 20, "seed": 3, "echo": True}
    one = client.completions.create(prompt=CODEC.encode("ROMEO:"), **asked)
    assert one.choices == client.completions.create(prompt="ROMEO:", **asked).choices
    texts = ["ROMEO:", "My lord"]
    many = client.completions.create(prompt=[CODEC.encode(text) for text in texts], **asked)
    assert many.choices == client.completions.create(prompt=texts, **asked).choices


def test_an_echo_precedes_the_text(client: openai.OpenAI) -> None:
    """And changes nothing of it."""
    asked: dict[str, Any] = {"model": "shakespeare", "prompt": "MERCUTIO:\n", "max_tokens": 30, "seed": 9}
    plain = client.completions.create(**asked)
    echoed = client.completions.create(**asked, echo=True)
    assert echoed.choices[0].text == "MERCUTIO:\n" + plain.choices[0].text


def test_the_defaults_are_those_of_the_openai_api(client: openai.OpenAI) -> None:
    """Sixteen tokens, one text, drawn at temperature 1; null says the same as nothing."""
    short = client.completions.create(model="shakespeare", prompt="A", seed=2)
    nulls = client.completions.create(
        model="shakespeare",
        prompt="A",
        seed=2,
        max_tokens=None,
        n=None,
        temperature=None,
        top_p=None,
        stop=None,
        echo=None,
        logprobs=None,
        best_of=None,
        stream=None,
        logit_bias=None,
        suffix=None,
    )
    full = client.completions.create(
        model="shakespeare", prompt="A", seed=2, max_tokens=16, n=1, temperature=1.0, top_p=1.0, user="me"
    )
    assert short.choices == nulls.choices == full.choices
    assert len(short.choices[0].text) == 16
    assert short.choices[0].finish_reason == "length"
    assert short.choices[0].logprobs is None


def test_parameters_that_change_nothing_are_taken(client: openai.OpenAI) -> None:
    """Load generators and libraries send them always."""
    plain = client.completions.create(model="shakespeare", prompt="A", seed=2)
    neutral = client.completions.create(
        model="shakespeare",
        prompt="A",
        seed=2,
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias={},
        suffix="",
        extra_body={
            "repetition_penalty": 1.0,
            "min_p": 0,
            "min_tokens": 0,
            "ignore_eos": False,
            "top_k": -1,
        },
    )
    assert neutral.choices == plain.choices


def test_top_k_of_one_is_greedy(client: openai.OpenAI) -> None:
    """The extension means what it does natively."""
    asked: dict[str, Any] = {"model": "shakespeare", "prompt": "The ", "max_tokens": 40}
    first = client.completions.create(**asked, extra_body={"top_k": 1}, seed=1)
    assert first.choices == client.completions.create(**asked, temperature=0).choices


def test_a_seed_may_be_negative_and_none_draws_anew(client: openai.OpenAI) -> None:
    """Seeds are signed in this API; without one, two texts differ."""
    asked: dict[str, Any] = {"model": "shakespeare", "prompt": "", "max_tokens": 40}
    texts = [client.completions.create(**asked, seed=-7).choices[0].text for _ in range(2)]
    assert texts[0] == texts[1]
    drawn = {client.completions.create(**asked).choices[0].text for _ in range(3)}
    assert len(drawn) == 3
    several = client.completions.create(model="shakespeare", prompt=["", ""], max_tokens=40)
    assert several.choices[0].text != several.choices[1].text


def test_the_best_of_several_are_the_most_likely_per_token(client: openai.OpenAI) -> None:
    """Chosen among the very texts that ``n`` alone would give; all of them are paid for."""
    asked: dict[str, Any] = {"model": "names", "prompt": "ma", "max_tokens": 12, "seed": 21}
    candidates = client.completions.create(**asked, n=10, logprobs=0)

    def per_token(choice: Any) -> float:
        logprobs = choice.logprobs.token_logprobs
        return sum(logprobs) / len(logprobs) if logprobs else float("-inf")

    ranked = sorted(candidates.choices, key=per_token, reverse=True)
    best = client.completions.create(**asked, n=3, best_of=10)
    assert [one.text for one in best.choices] == [one.text for one in ranked[:3]]
    assert [one.index for one in best.choices] == [0, 1, 2]
    assert all(one.logprobs is None for one in best.choices)
    assert best.usage == candidates.usage
    in_order = client.completions.create(**asked, n=10, best_of=10)
    assert [one.text for one in in_order.choices] == [one.text for one in candidates.choices]


def test_a_text_that_ends_by_itself_stops(client: openai.OpenAI) -> None:
    """The end token is a stop, and no part of the text."""
    answer = client.completions.create(model="names", prompt="", max_tokens=30, n=4, seed=4, temperature=0.7)
    assert {one.finish_reason for one in answer.choices} == {"stop"}
    assert all(one.text.isalpha() for one in answer.choices)


def test_the_model_may_be_left_to_the_server(server: ServerProcess) -> None:
    """Without a model, or a prompt, the default model starts a new text."""
    with server.client() as http:
        answer = http.post("/v1/completions", json={"seed": 3}).json()
        named = http.post("/v1/completions", json={"seed": 3, "model": "shakespeare", "prompt": ""}).json()
    assert answer["model"] == "shakespeare@2"
    assert answer["choices"] == named["choices"]
    assert answer["choices"][0]["text"]


def test_the_fingerprint_tells_graphs_apart(client: openai.OpenAI) -> None:
    """The same model keeps it, another has another."""
    prints = [
        client.completions.create(model=model, prompt="a", max_tokens=1).system_fingerprint
        for model in ("shakespeare", "shakespeare@2", "names")
    ]
    assert prints[0] == prints[1] != prints[2]
