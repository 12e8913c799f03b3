"""Sixty-four streams at once over real WebSockets against a real server process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.conftest import SHIPPED
from tests.e2e.server import ServerProcess

NUM_STREAMS = 64
MODELS = ["tiny-text-rnn", "tiny-text-lstm", "tiny-text-gru"]


def request(index: int) -> dict[str, Any]:
    """Requests that differ in model, prompt, length, sampling and stop strings."""
    return {
        "model": MODELS[index % 3],
        "prompt": "the quick brown fox"[: index % 19],
        "max_tokens": 150 + 17 * (index % 11),
        "temperature": (0.0, 0.7, 1.0)[index % 3],
        "top_k": (0, 5)[index % 2],
        "seed": index,
        "stop": ["zz"] if index % 4 == 0 else [],
    }


def words(text: str) -> int:
    """Tokens of a model whose words have a space before each."""
    return text.count(" ") + text.count("\n")


async def converse(
    url: str,
    message: dict[str, Any],
    *,
    leave_after: int | None = None,
    tokens: Callable[[str], int] = len,
) -> dict[str, Any] | None:
    """One generation on a socket of its own; ``leave_after`` characters the client drops the line.

    ``tokens`` counts those of a text: each character is one, unless it says otherwise.
    """
    async with connect(url) as socket:
        await socket.send(json.dumps(message))
        text, index = "", 0
        while True:
            frame = json.loads(await asyncio.wait_for(socket.recv(), 60))
            if frame["type"] == "done":
                # Exactly one terminal frame: the socket is quiet and serves the next request.
                await socket.send(json.dumps({"prompt": "a", "max_tokens": 1, "seed": 1}))
                following = json.loads(await asyncio.wait_for(socket.recv(), 60))
                assert following["type"] == "token"
                assert json.loads(await asyncio.wait_for(socket.recv(), 60))["type"] == "done"
                return {"text": text, "finish_reason": frame["finish_reason"], "usage": frame["usage"]}
            assert frame["type"] == "token", frame
            assert frame["index"] == index
            text += frame["text"]
            index += tokens(frame["text"])
            if leave_after is not None and len(text) >= leave_after:
                socket.transport.abort()
                return None


async def crowd(url: str) -> list[dict[str, Any] | None]:
    """All at once; every third leaves halfway, without a closing handshake."""
    return await asyncio.gather(
        *(
            converse(url, request(index), leave_after=40 if index % 3 == 1 else None)
            for index in range(NUM_STREAMS)
        )
    )


async def test_each_of_many_streams_equals_itself_alone(server: ServerProcess) -> None:
    """Same seed, same text, though a third of the neighbours disconnect halfway; nothing is left behind."""
    done_before = server.metric("rnnserve_requests_total", task="generate", outcome="ok")
    gone_before = server.metric("rnnserve_requests_total", task="generate", outcome="cancelled")
    alone = [await converse(server.websocket, request(index)) for index in range(NUM_STREAMS)]
    together = await crowd(server.websocket)
    stayed = [index for index, answer in enumerate(together) if answer is not None]
    assert {index for index in range(NUM_STREAMS) if index % 3 != 1} <= set(stayed)
    for index in stayed:
        assert together[index] == alone[index]
    # A stream may have ended before its client left it; all others of those count as cancelled.
    finished = 2 * NUM_STREAMS + 2 * len(stayed)
    for name in ("rnnserve_queue_steps", "rnnserve_slots_used", "rnnserve_websockets"):
        server.wait_for_metric(name, 0.0)
    done = server.metric("rnnserve_requests_total", task="generate", outcome="ok") - done_before
    gone = server.metric("rnnserve_requests_total", task="generate", outcome="cancelled") - gone_before
    assert done + gone == 2 * NUM_STREAMS + NUM_STREAMS + len(stayed)
    assert done >= finished


@pytest.mark.parametrize("transport", ["sse", "json"])
async def test_other_transports_give_the_same_text(server: ServerProcess, transport: str) -> None:
    """Server-sent events and the whole answer carry what the socket carried."""
    for index in range(0, 12, 5):
        socket = await converse(server.websocket, request(index))
        assert socket is not None
        with server.client() as client:
            body = request(index) | {"stream": transport == "sse"}
            answer = client.post("/generate", json=body)
        if transport == "json":
            text = answer.json()["choices"][0]["text"]
        else:
            frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
            assert [frame["type"] for frame in frames].count("done") == 1
            assert frames[-1]["type"] == "done"
            text = "".join(frame["text"] for frame in frames[:-1])
        assert text == socket["text"]


async def test_shipped_generators_keep_their_texts_under_load() -> None:
    """The same holds for the bundles that are shipped, at a length that people ask for."""
    with ServerProcess(SHIPPED, load="on-demand") as server:
        with server.client() as client:
            served = client.get("/models").json()["models"]
            names = [one["name"] for one in served if one["task"] == "generate"]
            models = [client.get(f"/models/{name}").json() for name in names]
        assert {model["inputs"]["unit"] for model in models} == {"character", "token"}
        asked = [
            (
                {"model": model["name"], "prompt": "Ma", "max_tokens": 120, "seed": seed},
                len if model["inputs"]["unit"] == "character" else words,
            )
            for seed in range(6)
            for model in models
        ]
        alone = [await converse(server.websocket, one, tokens=tokens) for one, tokens in asked]
        together = await asyncio.gather(
            *(converse(server.websocket, one, tokens=tokens) for one, tokens in asked)
        )
        assert together == alone
