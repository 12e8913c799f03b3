"""Failures as the ``openai`` package raises them: class by status, and the object's four fields."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.server import ServerProcess


@pytest.mark.parametrize(
    ("more", "param", "says"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
        ({"presence_penalty": -1}, "presence_penalty", "not supported"),
        ({"logit_bias": {"5": -100}}, "logit_bias", "not supported"),
        ({"suffix": "the end"}, "suffix", "not supported"),
        ({"extra_body": {"repetition_penalty": 1.2}}, "repetition_penalty", "send 1"),
        ({"extra_body": {"ignore_eos": True}}, "ignore_eos", "send false"),
        ({"extra_body": {"beam_width": 3}}, "beam_width", "unknown field"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 17}, "n", "at most 16"),
        ({"n": 2, "best_of": 1}, "best_of", "less than n"),
        ({"best_of": 2, "stream": True}, "best_of", "streamed"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "streams only"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"max_tokens": 10_001}, "max_tokens", "10000"),
        ({"logprobs": 21}, "logprobs", "20"),
        ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"stop": ["a"] * 9}, "stop", "at most 8"),
        ({"stop": ""}, "stop", "at least 1"),
        ({"seed": "x"}, "seed", "integer"),
        ({"prompt": []}, "prompt", "a text, a list of texts"),
        ({"prompt": 5}, "prompt", "a text, a list of texts"),
        ({"prompt": ["a", 5]}, "prompt", "prompt.texts.1"),
        ({"prompt": [1, 66]}, "prompt", "0 to 65"),
        ({"prompt": [[1], [2, -1]]}, "prompt", "prompt 1"),
        ({"prompt": [[1], []]}, "prompt", "at least 1"),
        ({"prompt": ["a"] * 1001}, "prompt", "1000 prompts"),
        ({"prompt": "a" * 100_001}, "prompt", "100000"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_a_bad_request(
    client: openai.OpenAI, more: dict[str, Any], param: str, says: str
) -> None:
    """It is named, with what was wrong and what is allowed."""
    asked: dict[str, Any] = {"model": "shakespeare", "prompt": "a", "max_tokens": 1} | more
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**asked)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code == "invalid_value"
    assert says in caught.value.message
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert caught.value.request_id


@pytest.mark.parametrize("model", ["gpt-4", "shakespeare@7", "forecaster"])
def test_an_unknown_model_is_not_found(client: openai.OpenAI, model: str) -> None:
    """As is one that completes no text."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model=model, prompt="a")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "shakespeare@2" in caught.value.message


def test_what_is_not_offered_is_not_found(client: openai.OpenAI) -> None:
    """In the same shape as everything under the prefix."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="shakespeare", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status", "code"),
    [
        ("POST", "/v1/completions", b"{", "application/json", 400, "invalid_value"),
        ("POST", "/v1/completions", b"", "application/json", 400, "invalid_value"),
        ("POST", "/v1/completions", b"[]", "application/json", 400, "invalid_value"),
        ("POST", "/v1/completions", b'{"prompt": "\\ud800"}', "application/json", 400, "invalid_value"),
        ("POST", "/v1/completions", b"prompt", "text/csv", 415, "unsupported_media"),
        (
            "POST",
            "/v1/completions",
            b" " * (16 * 1024 * 1024 + 1),
            "application/json",
            413,
            "payload_too_large",
        ),
        ("GET", "/v1/completions", b"", "application/json", 405, "method_not_allowed"),
        ("GET", "/v1/", b"", "application/json", 404, "unknown_url"),
    ],
)
def test_every_failure_under_the_prefix_has_the_shape(
    server: ServerProcess, method: str, path: str, content: bytes, kind: str, status: int, code: str
) -> None:
    """Also where no client of that API would get."""
    with server.client() as http:
        answer = http.request(method, path, content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    (name,) = answer.json()
    assert name == "error"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", error["param"])


def test_outside_the_prefix_failures_stay_problems(server: ServerProcess) -> None:
    """The native routes are not touched."""
    with server.client() as http:
        answer = http.post("/generate", json={"n": 0})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_full_queue_says_when_to_come_again(text_models: Path) -> None:
    """503 with Retry-After at once; the package waits as told and succeeds by itself."""
    with ServerProcess(text_models, max_queued_sequences=2) as server:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            busy = await client.completions.create(
                model="shakespeare", prompt="a", max_tokens=10_000, n=2, stream=True
            )
            await anext(aiter(busy))
            with pytest.raises(openai.InternalServerError) as caught:
                await client.completions.create(model="shakespeare", prompt="a", max_tokens=1)
            assert caught.value.status_code == 503
            assert (caught.value.code, caught.value.type) == ("overloaded", "server_error")
            assert int(caught.value.response.headers["retry-after"]) >= 1
            waiting = asyncio.create_task(
                client.with_options(max_retries=20).completions.create(
                    model="shakespeare", prompt="a", max_tokens=1
                )
            )
            await asyncio.to_thread(
                server.wait_for_metric, "rnnserve_requests_total", 2.0, task="generate", outcome="capacity"
            )
            await busy.close()
            assert len((await waiting).choices[0].text) == 1


def test_scoring_more_than_fits_is_refused(client: openai.OpenAI) -> None:
    """Logits of long prompts are large; the bound is told in tokens."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(
            model="shakespeare", prompt=["a" * 60_000] * 2, max_tokens=0, echo=True, logprobs=0
        )
    assert caught.value.param == "prompt"
    assert "100000 tokens of prompts" in caught.value.message


def test_more_steps_than_can_ever_be_queued_are_refused(client: openai.OpenAI) -> None:
    """Trying again would not help, so it is no overload."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="shakespeare", prompt=["a"] * 1000, n=16, max_tokens=200)
    assert "2000000 steps" in caught.value.message
