"""Event streams that broke and go on behind their last event, on real server processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from benchmarks.kills import free_port
from rnnserve_client import Client, http
from tests.e2e.feeding import PATIENT
from tests.e2e.server import ServerProcess


async def test_events_resume_over_a_restart(tiny_models: Path, tmp_path: Path) -> None:
    """A stream that broke goes on behind its last event: nothing twice, nothing missing."""
    port = free_port()
    flags: dict[str, Any] = {"state_dir": tmp_path / "state", "port": port}
    request: dict[str, Any] = {"prompt": "abc", "max_tokens": 5000, "temperature": 0.8}
    async with Client(f"http://127.0.0.1:{port}", retry=PATIENT) as client:
        server = ServerProcess(tiny_models, **flags)
        try:
            await asyncio.to_thread(server.wait_until_ready)
            text, frames = "", 0
            async for frame in client.generate(**request):
                if frame["type"] == "done":
                    break
                text += frame["text"]
                frames += 1
                if frames == 3:
                    await asyncio.to_thread(server.kill)
                    server = ServerProcess(tiny_models, **flags)
                    await asyncio.to_thread(server.wait_until_ready)
            assert len(text) == 5000
            whole = await client.ask("POST", "/generate", {**request, "seed": frame["seed"]})
            assert whole["choices"][0]["text"] == text
        finally:
            server.kill()


@pytest.mark.parametrize("num_lost", [1, 2])
async def test_a_stream_whose_end_is_lost_ends_all_the_same(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, num_lost: int
) -> None:
    """The session has advanced; whatever did not arrive of the text comes with its kept answer."""
    whole = http._frames
    cut = False

    async def cut_once(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        nonlocal cut
        frames = [one async for one in whole(lines)]
        for place, frame in frames if cut else frames[:-num_lost]:
            yield place, frame
        if not cut:
            cut = True
            raise httpx2.ReadError("cut")

    monkeypatch.setattr(http, "_frames", cut_once)
    async with Client(server.url, retry=PATIENT) as client:

        async def told() -> tuple[str, dict[str, Any]]:
            session = await client.create(task="generate")
            frames = [one async for one in session.stream("abc", max_tokens=200, seed=3, advance=True)]
            assert (await session.info())["step"] == session.step == frames[-1]["step"]
            assert (await session.feed([1])).seq == frames[-1]["step"] + 1
            return "".join(one["text"] for one in frames[:-1]), frames[-1]

        interrupted = await told()
        assert cut
        assert interrupted == await told()


async def test_what_was_given_out_in_full_is_not_given_out_again(client: httpx2.Client) -> None:
    """Behind the done event there is nothing: 204, at which an EventSource stops."""
    request = {"prompt": "abc", "max_tokens": 5, "stream": True}
    events = client.post("/generate", json=request).text
    ids = [line[4:] for line in events.splitlines() if line.startswith("id: ")]
    assert ids[-1].endswith(".done")
    assert client.post("/generate", json=request, headers={"last-event-id": ids[-1]}).status_code == 204
    rest = client.post("/generate", json=request, headers={"last-event-id": ids[-2]}).text
    assert rest == events[events.rindex("id: ") :]
    wrong = client.post("/generate", json=request | {"prompt": "x"}, headers={"last-event-id": ids[0]})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "last-event-id"
