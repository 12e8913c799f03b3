"""Sessions on real server processes, through the client that ships with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from rnnserve_client import Client, Conflict, Gone, Problem, Retry, Session, StepResult, http
from tests.e2e.server import ServerProcess
from tests.redis_server import RedisServer

PATIENT = Retry(attempts=40, first_s=0.05, longest_s=0.5)


def free_port() -> int:
    """For a server that is to come back where it was."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def series(seed: int, length: int) -> list[float]:
    """A session's events."""
    source = random.Random(seed)
    return [round(source.gauss(100, 10), 3) for _ in range(length)]


async def uninterrupted(client: Client, values: list[float]) -> list[dict[str, Any]]:
    """The outputs of a session that is fed everything in one call."""
    session = await client.create(task="forecast")
    outputs = (await session.feed(values)).outputs
    await session.close()
    return outputs


async def test_the_client_does_every_operation(server: ServerProcess) -> None:
    """The page on sessions, from the first step to the last, on a real server."""
    async with Client(server.url) as client:
        session = await client.create(task="forecast", options={"freq": "h"}, metadata={"room": 7})
        first = await session.feed([112.0, 118.0, None])
        assert (first.seq, first.step, len(first.outputs)) == (1, 3, 3)
        assert (await session.feed({"value": 129.0, "time": "2024-01-01T03:00"})).step == 4
        assert (await session.info())["metadata"] == {"room": 7}
        assert (await session.forecast(3, levels=[80]))["forecast"]["timestamps"][0] == "2024-01-01T04:00:00"
        await session.snapshot("calm")
        fork = await session.fork()
        same = [await one.feed(130.0) for one in (session, fork)]
        assert same[0] == same[1]
        assert await session.rewind("calm") == 4
        assert await session.feed(130.0) == same[0]
        assert [one["name"] for one in await session.snapshots()] == ["calm"]
        state = await session.state()
        carried = await client.steps(state=state, inputs=131.0)
        other = await client.create(state=state)
        assert carried["outputs"] == (await other.feed(131.0)).outputs == (await session.feed(131.0)).outputs
        await session.migrate("tiny-series-lstm@1")
        results = await client.feed_many([(session, 1.0), (fork, "x"), (other, 2.0)])
        assert [getattr(one, "step", None) for one in results] == [7, None, 7]
        assert isinstance(results[1], Problem)
        assert results[1].status == 422
        listed = [one["id"] async for one in client.sessions()]
        assert {session.id, fork.id, other.id} <= set(listed)
        assert (await client.session(session.id)).step == 7
        await session.close()
        with pytest.raises(Gone) as gone:
            await session.feed(1.0)
        assert (gone.value.step, gone.value.document["reason"]) == (7, "closed")


async def test_two_clients_on_one_session_one_wins(server: ServerProcess) -> None:
    """The other is told what the session holds; the steps are never a mixture."""
    async with Client(server.url) as client, Client(server.url) as rival:
        ours = await client.create(task="forecast")
        theirs = await rival.session(ours.id)
        outcomes = await asyncio.gather(ours.feed([1.0, 2.0]), theirs.feed([3.0]), return_exceptions=True)
        won = [one for one in outcomes if isinstance(one, StepResult)]
        lost = [one for one in outcomes if isinstance(one, Conflict)]
        assert (len(won), len(lost)) == (1, 1)
        assert lost[0].step == won[0].step == await ours.refresh()
        assert lost[0].expected == won[0].step + 1


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
        assert "2 worker processes" in server.log
        values = series(9, 40)
        async with Client(server.url) as keep, Client(server.url, retry=PATIENT) as client:
            expected = await uninterrupted(keep, values)
            session = await client.create(task="forecast")
            outputs: list[dict[str, Any]] = []
            for number, value in enumerate(values):
                if number == 20:
                    (child, *_) = await asyncio.to_thread(children, server.pid)
                    signal_process(child)
                async with Client(server.url, retry=PATIENT) as hopping:
                    other = Session(hopping, session.id, session.step)
                    outputs += (await other.feed(value)).outputs
                    session.step = other.step
            assert outputs == expected
        until = time.monotonic() + 20
        while "is replaced" not in server.log or len(children(server.pid)) < 2:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.log


def children(pid: int) -> list[int]:
    """Worker processes of a supervisor."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if f"PPid:\t{pid}\n" in status and "spawn_main" in command and "\tZ" not in status:
            found.append(int(folder.name))
    return sorted(found)


def signal_process(pid: int) -> None:
    """End one process as ``kill -9`` does."""
    os.kill(pid, signal.SIGKILL)


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


async def test_events_resume_over_a_restart(tiny_models: Path, tmp_path: Path) -> None:
    """A stream that broke goes on behind its last event: nothing twice, nothing missing."""
    port = free_port()
    flags: dict[str, Any] = {"state_dir": tmp_path / "state", "port": port}
    request = {"prompt": "abc", "max_tokens": 5000, "temperature": 0.8}
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
            message = json.dumps({"type": "step", "inputs": [1.0] * 200})
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                for _ in range(1000):
                    await asyncio.wait_for(connection.send(message), 5)
            await asyncio.to_thread(server.wait_for_metric, "rnnserve_websockets", 0, 30.0)
        assert "left frames unread" in server.log
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
