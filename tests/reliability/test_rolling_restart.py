"""A rolling restart of both replicas behind the load balancer, under load: nothing is lost for good."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import pytest

from tests.e2e.server import ServerProcess
from tests.reliability.retrying import Asker, Feeder, Question, check_answers, check_sessions
from tests.reliability.scale import Scale
from tests.reliability.traffic import MODEL, SECRET, SERIES, Traffic, running, write_models

pytestmark = pytest.mark.long
REPLICAS = ("replica-1", "replica-2")
QUESTIONS = [
    *(
        Question("/forecast", {"model": SERIES, "values": [n, 4, 2, 5 + n, 3, 6], "horizon": 3})
        for n in range(8)
    ),
    *(
        Question("/generate", {"model": MODEL, "prompt": "AB", "max_tokens": 40, "seed": n, "temperature": 1})
        for n in range(8)
    ),
]
# What clients may see: an answer, "not now", or a connection that ended without one. The balancer answers
# 502 where it waited for a replica that is gone.
_FINE = {
    "forecast": {"200"},
    "events": {"done"},
    "WS /generate": {"done", "closed 1012"},
    "WS /sessions/{id}": {"closed 1012"},
    "WS /sessions": {"closed 1012", "503"},
    "handshake": {"refused"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small bundles."""
    folder = tmp_path_factory.mktemp("rolling-models")
    write_models(folder)
    return folder


async def test_a_rolling_restart_under_load(models: Path, tmp_path: Path) -> None:
    """Every acknowledged step is there and as in a serial run, and every request is answered, at last."""
    with Scale(models, tmp_path / "scale", RNNSERVE_STATE_KEY=SECRET) as scale:
        traffic = Traffic([scale.url], num_http=12, num_lines=6, num_shared=8)
        asker, feeder = Asker(scale.url, QUESTIONS), Feeder(scale.url, SERIES)
        scale.watch = lambda: traffic.acknowledged
        await traffic.open()
        async with asyncio.TaskGroup() as tasks, running(traffic):
            tasks.create_task(asker.run(4))
            tasks.create_task(feeder.run())
            await asyncio.sleep(1)
            fed = {id: len(outputs) for id, outputs in feeder.outputs.items()}
            asked = asker.answered
            assert (await scale.rolling_restart()).endswith("both replicas were restarted\n")
            await asyncio.sleep(0.5)
            asker.stopping = feeder.stopping = True
        states = await traffic.states()
        check_restarts(scale)
        with ServerProcess(models, state_key=SECRET) as quiet:
            assert await check_answers(quiet.url, asker) == len(QUESTIONS)
            steps = await check_sessions(scale.url, quiet.url, feeder)
        with httpx2.Client(base_url=scale.url) as idle:
            assert idle.get("/healthz").status_code == 200
            assert scale.interrupt() == 0, scale.log
    print(f"{asker.answered} answers, sent again: {dict(asker.again)}, {asker.attempts} attempts at most")
    print({kind: dict(outcomes) for kind, outcomes in traffic.outcomes.items()})
    print(traffic.crowd.statuses, sum(client.retried for client in traffic.crowd.clients))
    assert "Traceback" not in scale.log, scale.log
    assert traffic.wrong == []
    for kind, outcomes in traffic.outcomes.items():
        assert set(outcomes) <= _FINE[kind], (kind, outcomes)
    # Requests that store nothing are sent again by the balancer itself.
    assert asker.answered > asked
    assert steps > sum(fed.values())
    # Every socket was closed in its turn, was told where its session is, and found it there.
    assert len(traffic.endings) >= traffic.num_lines
    for ending in traffic.endings:
        assert ending.code == 1012
        assert ending.step == ending.acknowledged == ending.held
    assert traffic.check(models, states) > 100


def check_restarts(scale: Scale) -> None:
    """Each was replaced by another process, one at a time, and steps were acknowledged all the while."""
    place = 0
    for who in REPLICAS:
        old, new = scale.pids(who)
        assert old != new
        assert not Path(f"/proc/{old}").exists()
        assert b"\0serve\0" in Path(f"/proc/{new}/cmdline").read_bytes()
        ended = scale.at(f"stopped: {who} (exit status 0)", place)
        place = scale.at(f"spawned: '{who}' with pid {new}", ended)
    first, second = (scale.at(f"stopped: {who} (exit status 0)") for who in REPLICAS)
    assert scale.lines[second].watched > scale.lines[first].watched + 10 > 10, scale.log
    for who in ("store", "load-balancer"):
        assert len(scale.pids(who)) == 1


async def test_a_replica_that_dies_is_started_again(models: Path, tmp_path: Path) -> None:
    """As a container would be; the other one answers meanwhile."""
    with Scale(models, tmp_path, RNNSERVE_STATE_KEY=SECRET) as scale:
        (killed,) = scale.pids("replica-2")
        os.kill(killed, signal.SIGKILL)
        async with httpx2.AsyncClient(base_url=scale.url) as http:
            assert (await http.post("/forecast", json=QUESTIONS[0].body)).status_code == 200
            # HAProxy may not have noticed yet that it is gone.
            while len(scale.pids("replica-2")) < 2:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(scale.until_all_up)
            assert [len(scale.pids(who)) for who in REPLICAS] == [1, 2]
            assert (await http.post("/forecast", json=QUESTIONS[0].body)).status_code == 200
        assert scale.interrupt() == 0, scale.log
