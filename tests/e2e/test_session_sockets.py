"""Sockets of sessions on real server processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from rnnserve_client import Client, Gone, Problem, Session, StepResult
from tests.e2e.feeding import series, uninterrupted
from tests.e2e.server import ServerProcess


async def test_many_sessions_on_one_line_equal_themselves_alone(server: ServerProcess) -> None:
    """Hundreds of sessions with several events in flight each: every output is as if it had been alone."""
    async with Client(server.url) as client, client.connect() as line:
        sessions = await asyncio.gather(*(client.create(task="forecast") for _ in range(150)))
        values = {one.id: series(number, 8) for number, one in enumerate(sessions)}

        async def feed(session: Session) -> list[dict[str, Any]]:
            results = await asyncio.gather(*(line.feed(session, value) for value in values[session.id]))
            assert [one.step for one in results] == list(range(1, 9))
            return [output for one in results for output in one.outputs]

        outputs = await asyncio.gather(*(feed(one) for one in sessions))
        await line.marker()
        for session, got in list(zip(sessions, outputs, strict=True))[::10]:
            assert got == await uninterrupted(client, values[session.id])


async def test_a_line_says_what_was_refused_and_goes_on(server: ServerProcess) -> None:
    """A wrong event fails, what was sent behind it conflicts, and the next one is right again."""
    async with Client(server.url) as client, client.connect() as line:
        session = await client.create(task="forecast")
        results = await asyncio.gather(
            *(line.feed(session, value) for value in (1.0, "x", 3.0)), return_exceptions=True
        )
        assert isinstance(results[0], StepResult)
        assert isinstance(results[1], Problem)
        assert results[1].status == 422
        assert (await line.feed(session, 2.0)).step == 2 + isinstance(results[2], StepResult)
        text = await client.create(task="sentiment")
        verdicts = await asyncio.gather(*(line.feed(text, part) for part in ("a good", "film", "truly")))
        assert [one.step for one in verdicts] == [2, 3, 4]


async def test_exactly_once_over_a_socket(server: ServerProcess) -> None:
    """The last call again gives its stored answer; an older or later number is a conflict."""
    async with Client(server.url) as client:
        session = await client.create(task="forecast")
        async with connect(f"{server.url.replace('http', 'ws', 1)}/sessions/{session.id}") as raw:
            hello = json.loads(await raw.recv())
            assert (hello["type"], hello["step"], hello["next_seq"]) == ("hello", 0, 1)
            answers = []
            for _ in range(2):
                await raw.send('{"type": "step", "seq": 1, "inputs": [1, 2]}')
                answers.append(await raw.recv())
            assert answers[0] == answers[1]
            for seq in (2, 4):
                await raw.send(json.dumps({"type": "step", "seq": seq, "inputs": 3}))
                error = json.loads(await raw.recv())
                assert (error["status"], error["step"], error["expected"]) == (409, 2, 3)


async def test_a_client_that_comes_back_goes_on_where_it_was(server: ServerProcess) -> None:
    """The hello frame of the next connection says what was applied before the first one broke."""
    async with Client(server.url) as client:
        session = await client.create(task="forecast")
        url = f"{server.url.replace('http', 'ws', 1)}/sessions/{session.id}"
        values = series(1, 60)
        applied = 0
        while applied < len(values):
            async with connect(url) as raw:
                applied = json.loads(await raw.recv())["step"]
                if applied == len(values):
                    break  # what was under way when the connection broke has been applied since
                for seq in range(applied + 1, min(applied + 8, len(values)) + 1):
                    await raw.send(json.dumps({"type": "step", "seq": seq, "inputs": values[seq - 1]}))
                await raw.recv()
                raw.transport.abort()
            applied = await session.refresh()
        expected = await client.create(task="forecast")
        await expected.feed(values)
        ahead = [(await one.forecast(3))["forecast"]["mean"] for one in (session, expected)]
        assert ahead[0] == ahead[1]


async def test_a_client_that_never_reads_is_closed(tiny_models: Path) -> None:
    """It may send on for ever; what waits for it is bounded, and then it is dropped with the reason."""
    with ServerProcess(tiny_models, socket_send_s=1) as server:
        async with Client(server.url) as client:
            session = await client.create(task="forecast")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", server.port))
        url = f"{server.url.replace('http', 'ws', 1)}/sessions/{session.id}"
        async with connect(url, sock=raw, max_queue=1, ping_interval=None) as connection:
            await connection.send(json.dumps({"type": "step", "inputs": [1.0] * 200}))
            # Only once some megabytes of answers fill the system's send buffer does the server wait.
            message = json.dumps({"type": "marker", "marker": "m" * 128})
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                for _ in range(100_000):
                    await asyncio.wait_for(connection.send(message), 5)
            await asyncio.to_thread(server.wait_for_metric, "rnnserve_websockets", 0, 120.0)
        server.wait_for_log("left frames unread")
        with server.client() as http:
            assert http.get(f"/sessions/{session.id}").status_code == 200


async def test_an_expiry_is_announced_on_an_open_line(tiny_models: Path) -> None:
    """A frame on the socket, 410 afterwards, and the metric counts it."""
    with ServerProcess(tiny_models, session_ttl_s=0.3) as server:
        async with Client(server.url) as client, client.connect() as line:
            session = await client.create(task="forecast")
            await line.feed(session, 1.0)
            frame = await asyncio.wait_for(line.expired.get(), 10)
            assert (frame["id"], frame["reason"], frame["step"]) == (session.id, "expired", 1)
            with pytest.raises(Gone):
                await line.feed(session, 2.0)
        await asyncio.to_thread(
            server.wait_for_metric, "rnnserve_session_events_total", 1, 10.0, event="expired"
        )
        await asyncio.to_thread(server.wait_for_metric, "rnnserve_sessions_live", 0)


async def test_an_idle_session_socket_is_closed(tiny_models: Path) -> None:
    """With the reason; the session lives on."""
    with ServerProcess(tiny_models, socket_idle_s=0.3) as server:
        async with Client(server.url) as client:
            session = await client.create(task="forecast")
            async with connect(f"{server.url.replace('http', 'ws', 1)}/sessions/{session.id}") as raw:
                await raw.recv()
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(raw.recv(), 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000
            assert await session.refresh() == 0
