"""A server whose models run on the event loop: the answers of one whose models have threads, and its end."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from rnnserve_client import Client
from tests.e2e.server import ServerProcess

DEFAULT = "forecast=tiny-series-lstm,sentiment=tiny-mood-gru,generate=tiny-text-lstm"
TEXT: dict[str, Any] = {"prompt": "abc", "max_tokens": 300, "seed": 5, "temperature": 0.9}


@pytest.fixture(scope="module")
def looped(tiny_models: Path) -> Iterator[ServerProcess]:
    """Its models run on the event loop."""
    with ServerProcess(tiny_models, default=DEFAULT, engines="loop") as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.log


@pytest.fixture(scope="module")
def threaded(tiny_models: Path) -> Iterator[ServerProcess]:
    """Its models have threads of their own."""
    with ServerProcess(tiny_models, default=DEFAULT, engines="threads") as process:
        yield process


def series(number: int) -> dict[str, Any]:
    """A forecast request; those of every third number differ in length from the others."""
    values = [float((number * step) % 17) for step in range(20 if number % 3 else 33)]
    return {"values": values, "horizon": 4, "freq": "h", "start": "2024-01-01"}


async def test_requests_that_come_together_are_answered_as_alone(
    looped: ServerProcess, threaded: ServerProcess
) -> None:
    """Forecasts and sentiments of a crowd, to the last digit."""
    requests = [("/forecast", series(number)) for number in range(60)]
    requests += [("/sentiment", {"text": "a good film " * (1 + number % 4)}) for number in range(20)]
    async with httpx2.AsyncClient(base_url=looped.url, timeout=60) as crowd:
        together = await asyncio.gather(*(crowd.post(path, json=body) for path, body in requests))
    async with httpx2.AsyncClient(base_url=threaded.url, timeout=60) as one:
        for (path, body), answer in zip(requests, together, strict=True):
            alone = await one.post(path, json=body)
            assert (answer.status_code, answer.json()) == (200, alone.json())


async def test_streams_have_the_text_of_the_plain_answer(
    looped: ServerProcess, threaded: ServerProcess
) -> None:
    """As events and over a socket, several beside each other, and health is answered meanwhile."""
    async with httpx2.AsyncClient(base_url=threaded.url, timeout=60) as http:
        requests = [TEXT | {"seed": seed, "max_tokens": 200 + 50 * seed} for seed in range(8)]
        expected = [(await http.post("/generate", json=one)).json() for one in requests]

    async def events(client: httpx2.AsyncClient, request: dict[str, Any]) -> list[dict[str, Any]]:
        async with client.stream("POST", "/generate", json=request | {"stream": True}) as answer:
            assert answer.status_code == 200
            lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    async def frames(request: dict[str, Any]) -> list[dict[str, Any]]:
        async with connect(looped.websocket) as socket:
            await socket.send(json.dumps(request))
            seen = [json.loads(await socket.recv())]
            while seen[-1]["type"] == "token":
                seen.append(json.loads(await socket.recv()))
            return seen

    async with httpx2.AsyncClient(base_url=looped.url, timeout=60) as client, asyncio.timeout(60):
        streams = [events(client, one) for one in requests] + [frames(one) for one in requests]
        running = asyncio.gather(*streams)
        assert (await client.get("/healthz")).json() == {"status": "ok", "dead": []}
        for whole, parts in zip(expected * 2, await running, strict=True):
            *tokens, done = parts
            assert "".join(one["text"] for one in tokens) == whole["choices"][0]["text"]
            assert done["usage"] == whole["usage"]


async def test_sessions_over_a_socket_are_those_of_the_other(
    looped: ServerProcess, threaded: ServerProcess
) -> None:
    """Many on one connection with several steps in flight; a state goes on in the other server."""
    values = [[float((number + 3) * step % 11) for step in range(12)] for number in range(30)]
    outputs: list[list[list[dict[str, Any]]]] = []
    for server in (looped, threaded):
        async with Client(server.url) as client, client.connect() as line:
            sessions = [await client.create(task="forecast") for _ in values]
            calls = [
                asyncio.gather(*(line.feed(session, value) for value in row))
                for session, row in zip(sessions, values, strict=True)
            ]
            results = await asyncio.gather(*calls)
            outputs.append([[one for result in row for one in result.outputs] for row in results])
            text = await client.create(task="generate")
            await text.feed("abc")
            assert (await text.generate("d", advance=True, max_tokens=40, seed=2))["step"] == 44
    assert outputs[0] == outputs[1]


async def test_sigterm_lets_what_runs_end(tiny_models: Path) -> None:
    """The stream ends whole, sockets are told, new work is refused, and the exit status is 0."""
    flags: dict[str, Any] = {"default": DEFAULT, "engines": "loop", "max_tokens": 20_000, "grace_s": 60}
    with ServerProcess(tiny_models, **flags) as server:
        async with (
            httpx2.AsyncClient(base_url=server.url, timeout=60) as http,
            Client(server.url) as client,
            connect(server.websocket, max_size=None) as running,
            asyncio.timeout(90),
        ):
            session = await client.create(task="forecast")
            async with connect(f"{server.url.replace('http', 'ws', 1)}/sessions/{session.id}") as socket:
                assert json.loads(await socket.recv())["type"] == "hello"
                await socket.send(json.dumps({"type": "step", "seq": 1, "inputs": 3}))
                assert json.loads(await socket.recv())["step"] == 1
                await running.send(json.dumps(TEXT | {"max_tokens": 9_000}))
                frames = [json.loads(await running.recv())]
                server.signal(signal.SIGTERM)
                closing = json.loads(await socket.recv())
                assert (closing["type"], closing["step"], closing["next_seq"]) == ("closing", 1, 2)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == 1012
            refused = await http.post("/forecast", json=series(1))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            while frames[-1]["type"] == "token":
                frames.append(json.loads(await running.recv()))
            assert frames[-1]["usage"]["completion_tokens"] == 9_000
        assert await asyncio.to_thread(server.wait) == 0
        assert "Traceback" not in server.log


async def test_work_that_outlasts_the_grace_is_told_so(tiny_models: Path) -> None:
    """An engine that is stopped at the end of the grace fails its sequence, and the process ends with 0."""
    flags = {"max_tokens": 10_000_000, "max_queued_steps": 20_000_000, "grace_s": 0.2, "engines": "loop"}
    with ServerProcess(tiny_models, **flags) as server:
        async with connect(server.websocket, max_size=None) as running, asyncio.timeout(60):
            await running.send(json.dumps({"max_tokens": 10_000_000}))
            kind = json.loads(await running.recv())["type"]
            server.signal(signal.SIGTERM)
            while kind == "token":
                kind = json.loads(await running.recv())["type"]
            assert kind == "error"
            with pytest.raises(ConnectionClosed):
                await running.recv()
            assert running.close_code == 1012
        assert await asyncio.to_thread(server.wait) == 0
        assert "Traceback" not in server.log
