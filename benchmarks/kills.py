"""``kill -9`` of a server with busy sessions, again and again, against a serial run.

    python -m benchmarks.kills --rounds 50 --workers 2

Every session is fed one token at a time over HTTP, each call with its ``seq``; a call without an
answer is sent again. At the end each session's state must be, bit for bit, what an uninterrupted
serial run of the same tokens gives: a lost step, a step applied twice or a mixture would show.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx2
import numpy as np

from app.bundle.reader import read_bundle
from app.runtime.session import GraphSession
from app.sessions.portable import StateSigner
from benchmarks import bundle
from benchmarks.report import Figure, publish
from benchmarks.server import Server

SECRET = "a key for measurements"
_VOCABULARY = 64
_RETRY_S = 0.02


@dataclass
class Client:
    """One session's client: what it was told, and what it still has to be told.

    Attributes:
        acknowledged: the step of the last answer.
        retried: calls that were sent more than once.
        in_flight: most calls that are sent before an answer comes.
    """

    id: str
    acknowledged: int = 0
    retried: int = 0
    refused: int = 0
    in_flight: int = 1

    def token(self, step: int) -> int:
        """What is fed at a step: a function of session and step alone."""
        return random.Random(f"{self.id}/{step}").randrange(1, _VOCABULARY)


@dataclass
class Crowd:
    """Clients that feed their sessions until they are stopped.

    Args:
        urls: servers; each attempt goes to one of them at random.
        num_sessions: clients.
        model: name of the served bundle.
    """

    urls: Sequence[str]
    num_sessions: int
    model: str
    clients: list[Client] = field(default_factory=list)
    stopping: bool = False
    statuses: dict[int, int] = field(default_factory=dict)

    async def open(self) -> None:
        """Make the sessions."""
        self.clients = [Client(f"busy-{index}") for index in range(self.num_sessions)]
        async with self._http() as http:
            for client in self.clients:
                body = {"model": self.model, "id": client.id}
                answer = await http.post(f"{self.urls[0]}/sessions", json=body)
                assert answer.status_code == 201, answer.text

    async def feed(self) -> None:
        """Feed all sessions until :attr:`stopping`."""
        async with self._http() as http:
            await asyncio.gather(*(self._feed(client, http) for client in self.clients))

    async def states(self) -> dict[str, tuple[int, bytes]]:
        """Step and row of each session."""
        signer = StateSigner(SECRET.encode())
        found: dict[str, tuple[int, bytes]] = {}
        async with self._http() as http:
            for client in self.clients:
                answer = await http.get(f"{random.choice(self.urls)}/sessions/{client.id}/state")
                assert answer.status_code == 200, answer.text
                state = signer.open(answer.json()["state"])
                found[client.id] = (state.step, state.row.tobytes())
        return found

    async def _feed(self, client: Client, http: httpx2.AsyncClient) -> None:
        while not self.stopping:
            step = client.acknowledged + 1
            body = {"seq": step, "inputs": [client.token(step)]}
            attempts = 0
            while True:
                attempts += 1
                try:
                    answer = await http.post(
                        f"{random.choice(self.urls)}/sessions/{client.id}/steps", json=body
                    )
                except httpx2.TransportError:
                    await asyncio.sleep(_RETRY_S)
                    continue
                self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
                if answer.status_code == 200:
                    break
                # Anything else than "not now" would be a lost or a doubled step.
                assert answer.status_code in (502, 503, 504), (answer.status_code, answer.text)
                client.refused += 1
                await asyncio.sleep(_RETRY_S)
            told = answer.json()
            assert (told["seq"], told["step"]) == (step, step), told
            client.acknowledged = step
            client.retried += attempts > 1

    def _http(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=self.num_sessions, max_keepalive_connections=self.num_sessions)
        return httpx2.AsyncClient(limits=limits, timeout=30)


def compare(models: Path, crowd: Crowd, states: dict[str, tuple[int, bytes]]) -> int:
    """Check every session against a serial run; returns the steps compared.

    Raises:
        AssertionError: a session differs.
    """
    loaded = read_bundle(next(models.glob(f"{crowd.model}/*")))
    session = GraphSession(loaded.graph, loaded.manifest)
    total = 0
    for client in crowd.clients:
        step, row = states[client.id]
        assert step >= client.acknowledged, (
            f"{client.id}: step {client.acknowledged} was acknowledged, now {step}"
        )
        most = client.acknowledged + client.in_flight
        assert step <= most, f"{client.id}: {step} steps, of which {client.acknowledged} were acknowledged"
        rows = loaded.start[None]
        for place in range(1, step + 1):
            rows = session.run(np.array([[client.token(place)]]), rows, 1)[1]
        assert rows.tobytes() == row, f"{client.id} differs from a serial run at step {step}"
        total += step
    return total


class Killable(Protocol):
    """A server that listens."""

    @property
    def url(self) -> str: ...

    def kill(self) -> None: ...


async def rounds(
    start: Callable[[], Killable], num_rounds: int, num_sessions: int, model: str, seed: int
) -> tuple[Crowd, dict[str, tuple[int, bytes]], list[float]]:
    """Kill the server so many times at random moments; returns the clients, the states, and restart times."""
    chance = random.Random(seed)
    server = await asyncio.to_thread(start)
    crowd = Crowd([server.url], num_sessions, model)
    restarts: list[float] = []
    try:
        await crowd.open()
        feeding = asyncio.create_task(crowd.feed())
        for _ in range(num_rounds):
            await asyncio.sleep(chance.uniform(0.2, 0.8))
            server.kill()
            killed = time.perf_counter()
            server = await asyncio.to_thread(start)
            restarts.append(time.perf_counter() - killed)
            if feeding.done():
                break
        await asyncio.sleep(0.5)
        crowd.stopping = True
        await feeding
        return crowd, await crowd.states(), restarts
    finally:
        server.kill()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run the rounds and print what they did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--store", default="", help="another store than LMDB, such as redis://localhost")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["RNNSERVE_STATE_KEY"] = SECRET
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        bundle.write_bundle(models, hidden=64)
        flags = {
            "port": free_port(),
            "workers": options.workers,
            "sessions": options.store or f"lmdb:{folder}/state",
        }
        started = time.perf_counter()
        crowd, states, restarts = asyncio.run(
            rounds(
                lambda: Server(models, **flags), options.rounds, options.sessions, bundle.NAME, options.seed
            )
        )
        steps = compare(models, crowd, states)
    figures = [
        Figure("kills", options.rounds, "times"),
        Figure("sessions that differ from a serial run", 0, "sessions", target="0"),
        Figure("steps compared, bit for bit", steps, "steps"),
        Figure("calls sent more than once", sum(client.retried for client in crowd.clients), "calls"),
        Figure("from start to first answer, median", float(np.median(restarts)), "s"),
        Figure("whole run", time.perf_counter() - started, "s"),
    ]
    publish("kills", figures, {"options": vars(options), "statuses": crowd.statuses})


if __name__ == "__main__":
    main()
