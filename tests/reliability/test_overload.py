"""More requests than the queue may hold: each is answered as ever or refused at once, and nothing else."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.server import ServerProcess
from tests.reliability.traffic import MODEL, SERIES, write_models

Make = Callable[[int], tuple[str, dict[str, Any]]]
NUM_CONNECTIONS = 100
NUM_REQUESTS = 8
# Three forecasts of eight values and a horizon of three fit, and two texts.
MAX_QUEUED_STEPS = 40


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small bundles."""
    folder = tmp_path_factory.mktemp("overload-models")
    write_models(folder)
    return folder


def forecast(number: int) -> tuple[str, dict[str, Any]]:
    """Sixteen different ones."""
    return "/forecast", {"model": SERIES, "values": [number % 16, 4, 2, 5, 3, 6, 4, 7], "horizon": 3}


def text(number: int) -> tuple[str, dict[str, Any]]:
    """Sixteen different ones."""
    return "/generate", {"model": MODEL, "prompt": "AB", "max_tokens": 12, "seed": number % 16}


async def ask(
    http: httpx2.AsyncClient, question: tuple[str, dict[str, Any]], told: Counter[str]
) -> bytes | None:
    """The answer, or None for a refusal, whose form is checked; other ends are counted as what they are."""
    path, body = question
    answer = await http.post(path, json=body)
    told[str(answer.status_code)] += 1
    if answer.status_code == 200:
        return answer.content
    assert answer.status_code in (429, 503), answer.text
    assert int(answer.headers["retry-after"]) >= 1
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["type"]) == (503, "urn:rnnserve:problem:overloaded"), problem
    assert problem["request_id"] == answer.headers["x-request-id"]
    return None


def unread(port: int) -> int:
    """Connections to a server here with bytes that it has not read, as Linux tells."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and not row[4].endswith(":00000000") for row in rows)


@pytest.mark.parametrize("make", [forecast, text], ids=["forecasts", "texts"])
async def test_what_does_not_fit_is_refused_and_the_rest_is_as_ever(make: Make, models: Path) -> None:
    """No other status, no broken connection; what was accepted is an idle server's answer, to the byte."""
    limits = httpx2.Limits(max_connections=NUM_CONNECTIONS, max_keepalive_connections=NUM_CONNECTIONS)
    told: Counter[str] = Counter()
    with ServerProcess(models, max_queued_steps=MAX_QUEUED_STEPS) as server:
        async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=30) as http:
            idle = {number: await ask(http, make(number), Counter()) for number in range(16)}
            assert None not in idle.values()

            async def client(first: int) -> None:
                for number in range(first, first + NUM_REQUESTS):
                    answer = await ask(http, make(number), told)
                    assert answer in (None, idle[number % 16])

            async with asyncio.TaskGroup() as clients:
                for first in range(NUM_CONNECTIONS):
                    clients.create_task(client(first))
            assert told.total() == NUM_CONNECTIONS * NUM_REQUESTS
            assert min(told["200"], told["503"]) > 0, told
            # Nothing is left of it: the queue is empty, and the next request is answered.
            assert await ask(http, make(0), Counter()) == idle[0]
        assert server.metric("rnnserve_queue_steps_limit", model=f"{MODEL}@1") == MAX_QUEUED_STEPS
        assert server.metric("rnnserve_queue_steps") == server.metric("rnnserve_sequences") == 0
        assert server.metric("rnnserve_requests_total", outcome="capacity") == told["503"]
        assert server.metric("rnnserve_requests_total", outcome="server") == 0
        assert server.stop() == 0
        assert "Traceback" not in server.log


async def test_steps_that_do_not_fit_are_refused_and_sending_them_again_cures_it(models: Path) -> None:
    """With ``seq``: each is applied once, and the outputs are those of a session that is fed alone."""
    # Of the first calls two fit at a time.
    calls = [[float(step % 5) for step in range(16)], [4.0], [2.0]]
    told: Counter[str] = Counter()
    limits = httpx2.Limits(max_connections=NUM_CONNECTIONS, max_keepalive_connections=NUM_CONNECTIONS)
    with ServerProcess(models, max_queued_steps=MAX_QUEUED_STEPS) as server:
        async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=60) as http:
            opened = asyncio.Barrier(NUM_CONNECTIONS + 1)

            async def feed(id: str, *, with_others: bool) -> list[Any]:
                assert (await http.post("/sessions", json={"model": SERIES, "id": id})).status_code == 201
                if with_others:
                    await opened.wait()
                outputs: list[Any] = []
                for inputs in calls:
                    seq = len(outputs) + 1
                    question = f"/sessions/{id}/steps", {"seq": seq, "inputs": inputs}
                    while (answer := await ask(http, question, told)) is None:
                        await asyncio.sleep(random.uniform(0.2, 1.0))
                    found = json.loads(answer)
                    outputs += found["outputs"]
                    assert (found["seq"], found["step"]) == (seq, len(outputs))
                return outputs

            async with asyncio.TaskGroup() as clients:
                feeding = [
                    clients.create_task(feed(f"many-{index}", with_others=True))
                    for index in range(NUM_CONNECTIONS)
                ]
                # The server finds the first calls of all at once, however fast either side is today.
                while opened.n_waiting < NUM_CONNECTIONS:
                    await asyncio.sleep(0.01)
                server.signal(signal.SIGSTOP)
                await opened.wait()
                async with asyncio.timeout(60):
                    while unread(server.port) < NUM_CONNECTIONS:
                        await asyncio.sleep(0.01)
                server.signal(signal.SIGCONT)
            assert told["200"] == NUM_CONNECTIONS * len(calls)
            assert told["503"] > 0
            assert told.total() == told["200"] + told["503"]
            alone = await feed("alone", with_others=False)
        assert [fed.result() for fed in feeding] == [alone] * NUM_CONNECTIONS
        assert "Traceback" not in server.log
