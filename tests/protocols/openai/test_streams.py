"""Streamed completions, read by the unmodified ``openai`` package and as raw events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Completion

from tests.e2e.server import ServerProcess

ASKED: dict[str, Any] = {
    "model": "shakespeare",
    "prompt": ["ROMEO:", "JULIET:\nO", ""],
    "max_tokens": 40,
    "n": 2,
    "seed": 17,
    "temperature": 0.8,
    "stop": ["\n\n", "e "],
}


@pytest.fixture
async def async_client(server: ServerProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    """The package's asynchronous client, which is to try nothing twice."""
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def check(chunks: list[Completion], whole: Completion) -> None:
    """The chunks are the whole answer, and each choice ends once, behind all of its text."""
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    logprobs: dict[int, list[float]] = {}
    offsets: dict[int, list[int]] = {}
    for chunk in chunks:
        assert (chunk.object, chunk.model) == ("text_completion", whole.model)
        assert (chunk.id, chunk.created) == (chunks[0].id, chunks[0].created)
        for choice in chunk.choices:
            assert choice.index not in reasons, "nothing follows the end of a choice"
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            if choice.logprobs is not None:
                logprobs.setdefault(choice.index, []).extend(choice.logprobs.token_logprobs or ())
                offsets.setdefault(choice.index, []).extend(choice.logprobs.text_offset or ())
            if choice.finish_reason is not None:
                reasons[choice.index] = choice.finish_reason
    for expected in whole.choices:
        assert texts[expected.index] == expected.text
        assert reasons[expected.index] == expected.finish_reason
        if expected.logprobs is not None:
            assert logprobs.get(expected.index, []) == expected.logprobs.token_logprobs
            assert offsets.get(expected.index, []) == expected.logprobs.text_offset
    assert len(reasons) == len(whole.choices)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"echo": True},
        {"logprobs": 2},
        {"echo": True, "logprobs": 2},
        {"echo": True, "logprobs": 1, "max_tokens": 0},
        {"echo": True, "max_tokens": 0},
    ],
    ids=str,
)
def test_the_chunks_are_the_whole_answer(client: openai.OpenAI, more: dict[str, Any]) -> None:
    """Text, log-probabilities and reasons, for several prompts and choices at once."""
    asked = ASKED | more
    whole = client.completions.create(**asked)
    check(list(client.completions.create(**asked, stream=True)), whole)


def test_a_model_with_an_end_token_ends_each_choice_once(client: openai.OpenAI) -> None:
    """Choices end at different times, most of them without further text."""
    asked: dict[str, Any] = {"model": "names", "prompt": ["a", "b", "c"], "max_tokens": 12, "n": 5, "seed": 2}
    whole = client.completions.create(**asked)
    assert {one.finish_reason for one in whole.choices} >= {"stop"}
    check(list(client.completions.create(**asked, stream=True)), whole)


def test_usage_comes_in_the_last_chunk_when_asked_for(client: openai.OpenAI) -> None:
    """Without choices; every other chunk has the field as null."""
    whole = client.completions.create(**ASKED)
    chunks = list(client.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(one.usage is None and one.choices for one in chunks[:-1])
    check(chunks[:-1], whole)


@pytest.mark.parametrize("usage", [None, False, True])
def test_the_events_are_bare_data_lines_that_end_with_done(server: ServerProcess, usage: bool | None) -> None:
    """Byte by byte what clients of that API parse."""
    body = ASKED | {"stream": True}
    if usage is not None:
        body |= {"stream_options": {"include_usage": usage}}
    with server.client() as http:
        answer = http.post("/v1/completions", json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") and "\n" not in event for event in events[:-2])
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert all(("usage" in chunk) == bool(usage) for chunk in chunks)
    assert all(
        set(choice) == {"index", "text", "logprobs", "finish_reason"}
        for chunk in chunks
        for choice in chunk["choices"]
    )


async def test_many_asynchronous_streams_are_each_as_if_alone(
    server: ServerProcess, async_client: openai.AsyncOpenAI
) -> None:
    """The same seed gives the same text, whoever shares the batch."""

    async def read(seed: int) -> str:
        stream = await async_client.completions.create(
            model="shakespeare", prompt="The ", max_tokens=60 + seed, seed=seed, stream=True
        )
        return "".join([chunk.choices[0].text async for chunk in stream])

    together = await asyncio.gather(*(read(seed) for seed in range(24)))
    for seed in (0, 7, 23):
        answer = await async_client.completions.create(
            model="shakespeare", prompt="The ", max_tokens=60 + seed, seed=seed
        )
        assert answer.choices[0].text == together[seed]


async def test_closing_a_stream_frees_its_slots(
    server: ServerProcess, async_client: openai.AsyncOpenAI
) -> None:
    """Nothing goes on for a client that has what it wanted."""
    cancelled = server.metric("rnnserve_requests_total", task="generate", outcome="cancelled")
    stream = await async_client.completions.create(
        model="shakespeare", prompt="The ", max_tokens=10_000, n=8, stream=True
    )
    async for _ in stream:
        break
    await stream.close()
    await asyncio.to_thread(
        server.wait_for_metric,
        "rnnserve_requests_total",
        cancelled + 1,
        task="generate",
        outcome="cancelled",
    )
    await asyncio.to_thread(server.wait_for_metric, "rnnserve_slots_used", 0.0)


def test_leaving_a_synchronous_stream_frees_its_slots(server: ServerProcess, client: openai.OpenAI) -> None:
    """The same when the block around it ends."""
    with client.completions.create(
        model="shakespeare", prompt="The ", max_tokens=10_000, n=4, stream=True
    ) as stream:
        assert next(iter(stream)).choices[0].text
    server.wait_for_metric("rnnserve_slots_used", 0.0)


async def test_giving_up_a_plain_request_frees_its_slots(
    server: ServerProcess, async_client: openai.AsyncOpenAI
) -> None:
    """A client that times out has closed its connection."""
    cancelled = server.metric("rnnserve_requests_total", task="generate", outcome="cancelled")
    with pytest.raises(openai.APITimeoutError):
        await async_client.with_options(timeout=0.05).completions.create(
            model="shakespeare", prompt="The ", max_tokens=10_000, n=8
        )
    await asyncio.to_thread(
        server.wait_for_metric,
        "rnnserve_requests_total",
        cancelled + 1,
        task="generate",
        outcome="cancelled",
    )
    await asyncio.to_thread(server.wait_for_metric, "rnnserve_slots_used", 0.0)


def test_a_stream_that_fails_says_so_in_its_last_event(text_models: Path) -> None:
    """The status was sent long ago; the client raises what the event says."""
    with ServerProcess(text_models, request_timeout_s=1) as server:
        body = {"model": "shakespeare", "prompt": "A", "max_tokens": 10_000, "n": 16, "stream": True}
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
            pytest.raises(openai.APIError) as caught,
        ):
            list(client.completions.create(**body))  # type: ignore[call-overload]  # fields in a dict
        assert caught.value.code == "deadline_exceeded"
        assert caught.value.type == "server_error"
        with server.client() as http:
            events = http.post("/v1/completions", json=body).text.split("\n\n")
        assert set(json.loads(events[-3].removeprefix("data: "))) == {"error"}
        assert events[-2:] == ["data: [DONE]", ""]
        server.wait_for_metric("rnnserve_slots_used", 0.0)
