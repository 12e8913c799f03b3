"""Servers that keep a sequence's state, for comparison: how each is started and asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer import PEERS as FOLDERS
from benchmarks.peer import Tuning, environment, free_port, interpreter
from benchmarks.processes import Subject, answers
from benchmarks.stateful_load import run
from rnnserve_bench.record import Record
from rnnserve_bench.socket_units import SocketUnit
from rnnserve_bench.units import HttpUnit


@dataclass(frozen=True, slots=True)
class StatefulPeer:
    """One server.

    Attributes:
        name: as the tables say it.
        folder: of its adapter and its environment.
        command: given the interpreter and a port.
        probe: path and body of a request that is answered once it is up.
        load: given its address, a number of sessions and seconds, keeps an event of each in flight.
        setup: what was tuned, for the notes.
    """

    name: str
    folder: str
    command: Callable[[str, int], Sequence[str]]
    probe: tuple[str, bytes]
    load: Callable[[str, int, float], Awaitable[Record]]
    own: bool = False
    setup: str = ""
    tuning: Tuning | None = None

    @property
    def installed(self) -> bool:
        """Whether it can be measured here."""
        return interpreter(self.folder, self.own).exists()

    async def start(self, model: Path) -> tuple[Subject, str]:
        """Start it; returns the process and its address once it answers.

        Raises:
            RuntimeError: it did not come up.
        """
        port = free_port()
        python = interpreter(self.folder, self.own)
        env = {**environment(self.folder, python), "STEPPER": str(model), "PEER_PORT": str(port)}
        env |= self.tuning.env() if self.tuning else {}
        subject = Subject(self.command(str(python), port), env=env, cwd=FOLDERS / self.folder, scratch=True)
        url = f"http://127.0.0.1:{port}"
        try:
            await answers(subject, url, *self.probe)
        except BaseException:
            subject.kill()
            raise
        return subject, url

    async def drive(self, url: str, num_sessions: int, seconds: float) -> Record:
        """One run."""
        return await self.load(url, num_sessions, seconds)


def _event(number: int) -> bytes:
    return b'{"token":%d}' % (2 + number % 8)


def _token(body: bytes) -> str | None:
    return None if body.startswith(b'{"token":') else "no token"


async def _http(url: str, num_sessions: int, seconds: float) -> Record:
    units = [HttpUnit(url, f"/sessions/s{index}/steps", _event, _token) for index in range(num_sessions)]
    for unit in units:
        await unit.open()
    return await run(units, units, seconds)


async def _socket(url: str, num_sessions: int, seconds: float) -> Record:
    units = [SocketUnit(_event, _token) for _ in range(num_sessions)]
    for index, unit in enumerate(units):
        await unit.open(f"{url}/sessions/s{index}")
    return await run(units, units, seconds)


def _naive(python: str, port: int) -> list[str]:
    flags = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    return [python, "-m", "uvicorn", "stateful:app", *flags, "--loop", "uvloop", "--http", "httptools"]


_PROBE = ("/sessions/probe/steps", b'{"token":5}')


async def _sequences(url: str, num_sessions: int, seconds: float) -> Record:
    """Each session's events carry its id in TorchServe's header."""
    units = [
        HttpUnit(url, "/predictions/model", _event, _token_object, {"ts_request_sequence_id": f"s{index}"})
        for index in range(num_sessions)
    ]
    for unit in units:
        await unit.open()
    return await run(units, units, seconds)


def _token_object(body: bytes) -> str | None:
    return None if b'"token"' in body else "no token"


PEERS: list[StatefulPeer] = [
    StatefulPeer(
        "TorchServe, sequence batching",
        "torchserve",
        lambda python, port: [python, "start.py", "sequence"],
        ("/predictions/model", _PROBE[1]),
        _sequences,
        setup="sequence batching over HTTP, kept-alive connections, states in the worker",
        tuning=Tuning(2, 128, 1),
    ),
    StatefulPeer("naive WebSocket", "naive", _naive, _PROBE, _socket, own=True, setup="state in the handler"),
    StatefulPeer("naive HTTP", "naive", _naive, _PROBE, _http, own=True, setup="state in a dict"),
]
