"""What a key may ask for: requests and steps a second, and sessions at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.e2e.server import ServerProcess
from tests.redis_server import RedisServer
from tests.security.conftest import Caller, KeyFile

PATIENCE_S = 30.0


def until_answered(client: httpx2.Client, path: str, body: object) -> httpx2.Response:
    """Ask as a polite client does: again after the time that the server names."""
    until = time.monotonic() + PATIENCE_S
    while (answer := client.post(path, json=body)).status_code == 429:
        assert time.monotonic() < until
        time.sleep(float(answer.headers["retry-after"]))
    return answer


def test_a_burst_above_the_rate_is_refused_and_waiting_cures_it(caller: Caller) -> None:
    """429 with Retry-After, at once; other keys and health do not feel it."""
    slow = caller("slow")
    body = {"text": "a"}
    answers = [slow.post("/sentiment", json=body) for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert answers[0].status_code == 200
    assert refused
    problem = refused[0].json()
    assert problem["type"] == "urn:rnnserve:problem:rate-limited"
    assert problem["retry_after_s"] <= int(refused[0].headers["retry-after"]) == 1
    assert caller("alice").post("/sentiment", json=body).status_code == 200
    assert slow.get("/healthz").status_code == 200
    assert until_answered(slow, "/sentiment", body).status_code == 200


def test_the_openai_routes_say_it_in_their_words(caller: Caller) -> None:
    """Their client knows this as RateLimitError and waits."""
    slow = caller("slow")
    answers = [slow.get("/v1/models") for _ in range(8)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1


def test_steps_are_counted_whatever_asks_for_them(caller: Caller) -> None:
    """Forecasts, generations by what they may take, and calls on sessions: 40 a second together."""
    thin = caller("thin")
    assert until_answered(thin, "/generate", {"prompt": "ab", "max_tokens": 38}).status_code == 200
    refused = thin.post("/generate", json={"prompt": "ab", "max_tokens": 38})
    assert refused.status_code == 429
    assert "more than 40 steps" in refused.json()["detail"]
    assert refused.json()["retry_after_s"] <= 1
    session = until_answered(thin, "/sessions", {"task": "forecast"}).json()["id"]
    feed = f"/sessions/{session}/steps"
    assert until_answered(thin, feed, {"seq": 1, "inputs": [1.0] * 30}).json()["step"] == 30
    assert thin.post(feed, json={"seq": 31, "inputs": [1.0] * 30}).status_code == 429
    # What was refused was not applied, and is applied later as it is.
    assert until_answered(thin, feed, {"seq": 31, "inputs": [1.0] * 30}).json()["step"] == 60
    # Nothing is run for these.
    assert thin.post(f"/sessions/{session}/forecast", json={"horizon": 2}).status_code == 200
    series = {"series": [{"values": [1.0] * 30}], "horizon": 2}
    assert until_answered(thin, "/forecast", series).status_code == 200
    assert thin.post("/forecast", json=series).status_code == 429


def test_one_request_above_a_seconds_worth_passes_and_is_paid_for_later(caller: Caller) -> None:
    """Otherwise it could never be asked."""
    thin = caller("thin")
    assert until_answered(thin, "/generate", {"prompt": "ab", "max_tokens": 78}).status_code == 200
    refused = thin.post("/generate", json={"prompt": "ab", "max_tokens": 8})
    assert refused.status_code == 429
    assert refused.json()["retry_after_s"] > 1


async def test_steps_on_a_socket_are_counted(guarded: ServerProcess, keys: KeyFile) -> None:
    """An error frame that says when; the call is applied when it comes again."""
    url = guarded.url.replace("http", "ws", 1)
    headers = {"x-api-key": keys.keys["thin"]}
    async with httpx2.AsyncClient(base_url=guarded.url, headers=headers) as client:
        opened = await client.post("/sessions", json={"task": "forecast"})
    async with connect(f"{url}/sessions/{opened.json()['id']}", additional_headers=headers) as socket:
        await socket.recv()
        seq, refusals, until = 1, 0, time.monotonic() + PATIENCE_S
        while seq < 150:
            assert time.monotonic() < until
            await socket.send(json.dumps({"type": "step", "seq": seq, "inputs": [1.0] * 30}))
            frame = json.loads(await socket.recv())
            if frame["type"] == "output":
                seq = frame["step"] + 1
                continue
            assert (frame["status"], frame["problem"]) == (429, "urn:rnnserve:problem:rate-limited")
            refusals += 1
            await asyncio.sleep(frame["retry_after_s"])
        assert refusals


def test_a_key_has_so_many_sessions(caller: Caller) -> None:
    """429 for the next, by opening or by forking; the end of one makes room; others are not concerned."""
    few, alice = caller("few"), caller("alice")
    for id in ("1", "2"):
        assert few.post("/sessions", json={"task": "forecast", "id": f"few-{id}"}).status_code == 201
    for path, body in (("/sessions", {"task": "forecast", "id": "few-3"}), ("/sessions/few-1/fork", {})):
        refused = few.post(path, json=body)
        assert refused.status_code == 429
        assert refused.json()["type"] == "urn:rnnserve:problem:session-limit"
        assert int(refused.headers["retry-after"]) >= 1
    assert alice.post("/sessions", json={"task": "forecast", "id": "few-3"}).status_code == 201
    assert few.post("/sessions", json={"task": "forecast", "id": "few-1"}).status_code == 409
    assert few.delete("/sessions/few-1").status_code == 204
    assert few.post("/sessions", json={"task": "forecast", "id": "few-1"}).status_code == 201
    assert few.post("/sessions", json={"task": "forecast", "id": "few-3"}).status_code == 429


@pytest.mark.parametrize("kind", ["lmdb", "redis"])
def test_the_number_of_sessions_holds_over_all_workers(
    one_model: Path, tmp_path: Path, keys: KeyFile, kind: str
) -> None:
    """Many at once through two processes: exactly as many are opened as the key may have."""
    with contextlib.ExitStack() as stack:
        address = f"lmdb:{tmp_path / 'state'}"
        if kind == "redis":
            address = stack.enter_context(RedisServer(tmp_path)).url
        process = stack.enter_context(ServerProcess(one_model, workers=2, keys=keys.path, sessions=address))
        statuses = asyncio.run(opened_at_once(process.url, keys.keys["few"], 24))
    assert statuses.count(201) == 2
    assert statuses.count(429) == 22


async def opened_at_once(url: str, key: str, count: int) -> list[int]:
    """The statuses of so many requests for a session, each on a connection of its own."""

    async def one() -> int:
        async with httpx2.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=30) as client:
            return (await client.post("/sessions", json={"model": "tiny-series-gru"})).status_code

    return list(await asyncio.gather(*(one() for _ in range(count))))
