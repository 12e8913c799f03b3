"""A thousand sessions interleaved at random on one server, against a serial run of each, bit for bit."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from app.bundle.reader import read_bundle
from app.runtime.session import GraphSession
from app.sessions.portable import StateSigner
from benchmarks.kills import SECRET
from benchmarks.server import Server
from tests.bundles import tiny_generator

NUM_SESSIONS = 1000
NUM_ROUNDS = 40
NUM_TOKENS = 30


class Ledger:
    """What each session was fed, and what is to be fed next: one to four tokens a call."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fed: dict[str, list[int]] = {f"s{index}": [] for index in range(NUM_SESSIONS)}
        self.sent: dict[str, list[int]] = {}

    def call(self, id: str) -> dict[str, Any]:
        """The session's next call; the same one again until it is answered."""
        if id not in self.sent:
            self.sent[id] = [self.chance.randint(1, NUM_TOKENS) for _ in range(self.chance.randint(1, 4))]
        return {"id": id, "seq": len(self.fed[id]) + 1, "inputs": self.sent[id]}

    def booked(self, result: dict[str, Any]) -> None:
        """An answer: the call has been applied, now or before."""
        assert "error" not in result, result
        id = result["id"]
        self.fed[id] += self.sent.pop(id)
        assert result["step"] == len(self.fed[id])


async def vanish(port: int, body: bytes, after_s: float) -> None:
    """A client that sends its calls and drops the line before the answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = ["POST /sessions/steps HTTP/1.1", "host: x", f"content-length: {len(body)}", "", ""]
    writer.write("\r\n".join(head).encode() + body)
    await writer.drain()
    await asyncio.sleep(after_s)
    writer.transport.abort()


async def one_round(ledger: Ledger, http: httpx2.AsyncClient, server: Server) -> None:
    """Random groups of sessions at the same time; some of the clients go away in the middle."""
    ids = ledger.chance.sample(sorted(ledger.fed), 400)
    groups = [ids[first : first + size] for first, size in ((0, 1), (1, 7), (8, 40), (48, 152), (200, 200))]
    answered: list[Any] = []
    for place, group in enumerate(groups):
        body = json.dumps({"steps": [ledger.call(id) for id in group]}).encode()
        if place and ledger.chance.random() < 0.3:
            answered.append(vanish(int(server.url.rpartition(":")[2]), body, ledger.chance.random() * 0.02))
        else:
            answered.append(http.post(f"{server.url}/sessions/steps", content=body))
    for answer in await asyncio.gather(*answered):
        if answer is not None:
            for result in answer.json()["results"]:
                ledger.booked(result)


async def idle(http: httpx2.AsyncClient, server: Server) -> None:
    """Until nothing is queued and no row is held."""
    for gauge in ("rnnserve_queue_steps", "rnnserve_slots_used"):
        for _ in range(500):
            lines = (await http.get(f"{server.url}/metrics")).text.splitlines()
            if all(float(line.split()[-1]) == 0 for line in lines if line.startswith(gauge + "{")):
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail(f"{gauge} does not come down to zero")


async def test_a_thousand_sessions_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is interleaved, cancelled or disconnected, each session's row is its own serial run's."""
    monkeypatch.setenv("RNNSERVE_STATE_KEY", SECRET)
    folder = tiny_generator(tmp_path / "models", "lstm")
    ledger = Ledger(3)
    with Server(tmp_path / "models", sessions=f"lmdb:{tmp_path / 'state'}") as server:
        async with httpx2.AsyncClient(timeout=60) as http:
            for id in ledger.fed:
                answer = await http.post(f"{server.url}/sessions", json={"model": "tiny-text", "id": id})
                assert answer.status_code == 201, answer.text
            for _ in range(NUM_ROUNDS):
                await one_round(ledger, http, server)
            # Calls whose client went away were applied or not: sent again they are applied exactly once.
            left = [ledger.call(id) for id in list(ledger.sent)]
            assert left
            answer = await http.post(f"{server.url}/sessions/steps", json={"steps": left})
            for result in answer.json()["results"]:
                ledger.booked(result)
            states = {}
            for id in ledger.fed:
                states[id] = (await http.get(f"{server.url}/sessions/{id}/state")).json()["state"]
            await idle(http, server)
    bundle = read_bundle(folder)
    session = GraphSession(bundle.graph, bundle.manifest)
    signer = StateSigner(SECRET.encode())
    for id, tokens in ledger.fed.items():
        row = signer.open(states[id]).row
        expected = bundle.start[None]
        for token in tokens:
            expected = session.run(np.array([[token]]), expected, 1)[1]
        assert row.size == 0 or row.tobytes() == expected.tobytes(), id
        assert (row.size == 0) == (not tokens)
