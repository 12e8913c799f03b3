"""Sessions whose server processes are stopped, killed, replaced, or several."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.kills import free_port
from rnnserve_client import Client, Problem, Retry, Session
from tests.e2e.feeding import PATIENT, series, uninterrupted
from tests.e2e.server import ServerProcess
from tests.redis_server import RedisServer


async def test_sessions_outlive_the_process(tiny_models: Path, tmp_path: Path) -> None:
    """Stopped or killed, a server that comes back goes on bit for bit; ids, snapshots and states hold."""
    port = free_port()
    values = series(3, 30)
    async with Client(f"http://127.0.0.1:{port}", retry=PATIENT) as client:
        flags: dict[str, Any] = {"state_dir": tmp_path / "state", "port": port}
        outputs: list[dict[str, Any]] = []
        with ServerProcess(tiny_models, **flags) as server:
            expected = await uninterrupted(client, values)
            session = await client.create(task="forecast", id="boiler")
            outputs += (await session.feed(values[:10])).outputs
            await session.snapshot("ten")
            state = await session.state()
            assert server.stop() == 0
        with ServerProcess(tiny_models, **flags) as server:
            outputs += (await session.feed(values[10:20])).outputs
            assert [one["name"] for one in await session.snapshots()] == ["ten"]
            carried = await client.steps(state=state, inputs=values[10:20])
            assert carried["outputs"] == outputs[10:]
            server.kill()
        with ServerProcess(tiny_models, **flags):
            again = await client.session("boiler")
            outputs += (await again.feed(values[20:])).outputs
        assert outputs == expected


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_kill_among_busy_sessions_loses_nothing_that_was_answered(
    tiny_models: Path, tmp_path: Path, workers: int
) -> None:
    """Sessions fed while every process of the server is killed, twice: each output as if nothing had been."""
    port = free_port()
    values = {number: series(number, 25) for number in range(24)}
    flags: dict[str, Any] = {"state_dir": tmp_path / "state", "port": port, "workers": workers}
    async with Client(f"http://127.0.0.1:{port}", retry=PATIENT) as client:

        async def feed(number: int) -> list[dict[str, Any]]:
            session = await client.create(task="forecast")
            results = [await session.feed(value) for value in values[number]]
            return [output for one in results for output in one.outputs]

        async def fed_on_a_line(line: Any, number: int) -> list[dict[str, Any]]:
            session = await client.create(task="forecast")
            results = [await line.feed(session, value) for value in values[number]]
            return [output for one in results for output in one.outputs]

        server = ServerProcess(tiny_models, **flags)
        try:
            async with client.connect() as line:
                feeds = [asyncio.create_task(feed(number)) for number in range(12)]
                feeds += [asyncio.create_task(fed_on_a_line(line, number)) for number in range(12, 24)]
                for pause_s in (0.25, 0.4):
                    await asyncio.to_thread(server.wait_until_ready)
                    await asyncio.sleep(pause_s)
                    await asyncio.to_thread(server.kill)
                    server = ServerProcess(tiny_models, **flags)
                outputs = await asyncio.gather(*feeds)
            for number, got in enumerate(outputs):
                assert got == await uninterrupted(client, values[number])
        finally:
            server.kill()


async def test_sigterm_among_busy_sessions_loses_nothing_that_was_answered(
    tiny_models: Path, tmp_path: Path
) -> None:
    """What was answered is there after the restart; the socket is told where its session is."""
    port = free_port()
    flags: dict[str, Any] = {"state_dir": tmp_path / "state", "port": port, "workers": 2}
    async with Client(f"http://127.0.0.1:{port}", retry=PATIENT) as client:
        with ServerProcess(tiny_models, **flags) as server:
            session = await client.create(task="forecast", id="a")
            url = f"{server.url.replace('http', 'ws', 1)}/sessions/a"
            async with connect(url) as raw:
                assert json.loads(await raw.recv())["type"] == "hello"
                for seq in range(1, 201):
                    await raw.send(json.dumps({"type": "step", "seq": seq, "inputs": float(seq % 7)}))
                frames = [json.loads(await raw.recv())]
                server.signal(signal.SIGTERM)
                with contextlib.suppress(ConnectionClosed):
                    async for text in raw:
                        frames.append(json.loads(text))
                assert raw.close_code == 1012
            parts = [one for frame in frames for one in frame.get("results", [frame])]
            answered = max(one["step"] for one in parts if one["type"] == "output")
            assert parts[-1] == {"type": "closing", "id": "a", "step": answered, "next_seq": answered + 1}
            assert server.wait() == 0
            assert "Traceback" not in server.log
        with ServerProcess(tiny_models, **flags):
            assert await session.refresh() == answered


async def test_two_workers_share_the_port_and_the_sessions(tiny_models: Path, tmp_path: Path) -> None:
    """Any worker serves any session; one that dies is replaced; Ctrl-C ends them all."""
    with ServerProcess(tiny_models, state_dir=tmp_path / "state", workers=2) as server:
        server.wait_for_log("2 worker processes")
        values = series(9, 40)
        async with Client(server.url) as keep, Client(server.url, retry=PATIENT) as client:
            expected = await uninterrupted(keep, values)
            session = await client.create(task="forecast")
            outputs: list[dict[str, Any]] = []
            for number, value in enumerate(values):
                if number == 20:
                    os.kill(server.workers()[0], signal.SIGKILL)
                async with Client(server.url, retry=PATIENT) as hopping:
                    other = Session(hopping, session.id, session.step)
                    outputs += (await other.feed(value)).outputs
                    session.step = other.step
            assert outputs == expected
        until = time.monotonic() + 20
        while "is replaced" not in server.log or len(server.workers()) < 2:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.log


async def test_several_servers_on_one_redis(tiny_models: Path, tmp_path: Path) -> None:
    """A client that hops between two servers, one of which is killed, sees one unbroken session."""
    values = series(5, 40)
    with RedisServer(tmp_path) as store:
        flags: dict[str, Any] = {"sessions": store.url, "state_key": "a key for both servers"}
        with ServerProcess(tiny_models, **flags) as first, ServerProcess(tiny_models, **flags) as second:
            assert "an-open-secret" not in first.log
            async with Client(first.url) as one, Client(second.url) as two:
                expected = await uninterrupted(one, values)
                session = await one.create(task="forecast")
                outputs: list[dict[str, Any]] = []
                source = random.Random(1)
                for number, value in enumerate(values):
                    if number == 25:
                        state = await Session(one, session.id, session.step).state()
                        assert (await two.steps(state=state, inputs=1.0))["step"] == number + 1
                        first.kill()
                    client = source.choice((one, two)) if number < 25 else two
                    hopping = Session(client, session.id, session.step)
                    outputs += (await hopping.feed(value)).outputs
                    session.step = hopping.step
                assert outputs == expected
                store.kill()
                impatient = Client(second.url, retry=Retry(attempts=1))
                with pytest.raises(Problem) as away:
                    await Session(impatient, session.id, session.step).feed(1.0)
                assert (away.value.status, away.value.name) == (503, "store-unavailable")
                ready = await asyncio.to_thread(httpx2.get, f"{second.url}/readyz")
                assert ready.json()["reason"] == "the session store does not answer"
                await impatient.close()
                store.start()
                async with Client(second.url, retry=PATIENT) as patient:
                    back = Session(patient, session.id, session.step)
                    assert (await back.feed(1.0)).step == 41
