"""SIGTERM while everything is busy: what was accepted is answered, what was acknowledged is kept."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from benchmarks.kills import free_port
from tests.e2e.server import ServerProcess
from tests.reliability.traffic import MODEL, SECRET, Ending, Traffic, running, write_models

pytestmark = pytest.mark.long
# Far longer than the texts take on a slow machine: what is tested is that they end, not how soon.
GRACE_S = 120
# Long enough for the drain to be seen, and for a text to end within it.
_LONG: dict[str, Any] = {"max_tokens": 5000, "seed": 3, "stream": True}
# What a client may see of a server that ends: requests are answered whole, refused with 503, or not taken.
_FINE = {
    "forecast": {"200", "503", "nobody there", "unanswered"},
    "events": {"done", "503", "nobody there", "unanswered"},
    "WS /generate": {"done", "closed 1012"},
    "WS /sessions/{id}": {"closed 1012"},
    "WS /sessions": {"closed 1012"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small bundles."""
    folder = tmp_path_factory.mktemp("traffic-models")
    write_models(folder)
    return folder


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_under_load(models: Path, tmp_path: Path, workers: int) -> None:
    """A clean drain, exit code 0, and after a restart every session is what it was told to be."""
    flags = {
        "port": free_port(),
        "workers": workers,
        "sessions": f"lmdb:{tmp_path / 'state'}",
        "state_key": SECRET,
        "grace_s": GRACE_S,
        "max_tokens": 10_000,
        "session_max_call_steps": 10_000,
    }
    with ExitStack() as servers:
        first = servers.enter_context(ServerProcess(models, **flags))
        traffic = Traffic([first.url])
        await traffic.open()
        async with running(traffic):
            # Twice as many as workers, so that each is likely to drain for a while.
            begun = asyncio.Barrier(2 * workers + 1)
            await open_session(first.url)
            await asyncio.sleep(0.5)
            paths = ["/sessions/play/generate"] + ["/generate"] * (2 * workers - 1)
            long = [asyncio.create_task(last_event(first.url + path, begun)) for path in paths]
            async with asyncio.timeout(30):
                await begun.wait()
            looking = asyncio.create_task(readiness_of(first.url))
            first.signal(signal.SIGTERM)
            seen = await looking
            assert await asyncio.to_thread(first.wait, GRACE_S + 10) == 0
            assert [await one for one in long] == ["done"] * len(long)
            before = traffic.acknowledged
            second = await asyncio.to_thread(servers.enter_context, ServerProcess(models, **flags))
            await asyncio.sleep(0.5)
        states = await traffic.states()
        # The token that begins a text, and the text.
        assert await step_of(second.url) == 1 + _LONG["max_tokens"]
        assert second.stop() == 0
    # Texts may be made, and it gone, before it is asked; tests/e2e/test_process.py waits for the 503.
    assert {status for status, _ in seen} <= {200, 503}
    assert {reason for status, reason in seen if status == 503} <= {"shutting down"}
    for server in (first, second):
        assert "Traceback" not in server.log, server.log
        assert "still running" not in server.log
    assert traffic.wrong == []
    for kind, fine in _FINE.items():
        assert set(traffic.outcomes[kind]) <= fine, (kind, traffic.outcomes[kind])
    # Every socket was told where its session is: exactly what it had been answered, and so it was.
    assert len(traffic.endings) >= traffic.num_lines
    for ending in traffic.endings:
        assert ending == Ending(1012, ending.acknowledged, ending.acknowledged, ending.acknowledged)
    assert traffic.check(models, states) > before > 100


async def open_session(url: str) -> None:
    """Whose text ends while the server drains."""
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{url}/sessions", json={"model": MODEL, "id": "play"})
        assert answer.status_code == 201


async def step_of(url: str) -> int:
    """Where that session is."""
    async with httpx2.AsyncClient() as http:
        return int((await http.get(f"{url}/sessions/play")).json()["step"])


async def last_event(url: str, begun: asyncio.Barrier) -> str:
    """Read a long text as events, telling that it has begun; the name of the last one."""
    last = ""
    body = _LONG | ({"advance": True, "seq": 1} if "/sessions/" in url else {"model": MODEL})
    async with (
        httpx2.AsyncClient(timeout=GRACE_S) as http,
        http.stream("POST", url, json=body) as answer,
    ):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                if not last:
                    await begun.wait()
                last = line.removeprefix("event: ")
    return last


async def readiness_of(url: str) -> set[tuple[int, str]]:
    """Every answer of ``/readyz`` until nobody gives one."""
    seen: set[tuple[int, str]] = set()
    async with httpx2.AsyncClient(timeout=10) as http:
        while True:
            try:
                answer = await http.get(f"{url}/readyz", headers={"connection": "close"})
            except httpx2.ConnectError:
                return seen
            except httpx2.TransportError:
                # A worker that has ended had taken the connection; another one may still answer.
                continue
            seen.add((answer.status_code, str(answer.json()["reason"])))
            await asyncio.sleep(0.01)
