"""A server that forecasts are measured against: how it is started and asked."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import Subject, answers

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(os.environ.get("BENCHMARK_PEERS") or Path(__file__).parent.parent / ".peers")
"""Where ``make bench-peers`` puts the peers' environments, each ``NAME/`` with ``bin/python``."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Processes, largest batch, and milliseconds that a request may wait for a batch to fill."""

    workers: int
    batch: int
    wait_ms: int

    def env(self) -> dict[str, str]:
        """As the adapters read it."""
        return {
            "PEER_WORKERS": str(self.workers),
            "PEER_BATCH": str(self.batch),
            "PEER_WAIT_MS": str(self.wait_ms),
        }

    def __str__(self) -> str:
        return f"{self.workers} workers, batch {self.batch}, {self.wait_ms} ms"


@dataclass(frozen=True, slots=True)
class Peer:
    """One server.

    Attributes:
        name: as the tables say it.
        folder: of its adapter and its environment.
        command: given the interpreter and a port.
        path: where a forecast is posted.
        body: our request as this server takes it.
        env: added to the environment.
        own: runs in the project's own environment, and so is always there.
        beyond: does more for its speed than its documentation shows; the targets are set without it.
        setup: what was chosen, for the notes.
        tuning: processes, largest batch and milliseconds to wait for one, as found by `benchmarks.tune`.
    """

    name: str
    folder: str
    command: Callable[[str, int], Sequence[str]]
    path: str
    body: Callable[[bytes], bytes] = lambda body: body
    env: Mapping[str, str] = field(default_factory=dict)
    own: bool = False
    beyond: bool = False
    setup: str = ""
    tuning: Tuning | None = None

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return interpreter(self.folder, self.own)

    @property
    def installed(self) -> bool:
        """Whether it can be measured here."""
        return self.python.exists()

    async def start(self, model: Path, sample: bytes) -> tuple[Subject, str, bytes]:
        """Start it; returns the process, the address to post to, and its first good answer.

        Raises:
            RuntimeError: it did not come up.
        """
        port = free_port()
        env = {**environment(self.folder, self.python), "FORECASTER": str(model), "PEER_PORT": str(port)}
        env |= {**(self.tuning.env() if self.tuning else {}), **self.env}
        subject = Subject(
            self.command(str(self.python), port), env=env, cwd=PEERS / self.folder, scratch=True
        )
        url = f"http://127.0.0.1:{port}"
        try:
            answer = await answers(subject, url, self.path, self.body(sample))
        except BaseException:
            subject.kill()
            raise
        return subject, url + self.path, answer


def interpreter(folder: str, own: bool = False) -> Path:
    """Of a peer's environment."""
    return Path(sys.executable) if own else ENVIRONMENTS / folder / "bin" / "python"


def environment(folder: str, python: Path) -> dict[str, str]:
    """Variables with which a peer's adapter finds its files and its programs."""
    return {
        "PYTHONPATH": f"{PEERS}{os.pathsep}{PEERS / folder}",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
