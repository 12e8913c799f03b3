"""What an attack is, and requests whose statuses are all that is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.e2e.server import ServerProcess
from tests.security.raw import connect, read_answer


@dataclass(frozen=True, slots=True)
class Attack:
    """``act`` is given the server and says what came of it."""

    name: str
    act: Callable[[ServerProcess], str]
    settle_s: float = 1.0


def answers(server: ServerProcess, wires: list[bytes], at_once: int = 1) -> str:
    """The statuses that requests are answered with."""

    def ask(wire: bytes) -> str:
        with connect(server.port, 120) as raw:
            with contextlib.suppress(ConnectionError):
                raw.sendall(wire)
            with raw.makefile("rb") as stream:
                return str(read_answer(stream).status)

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(ask, wires))
    return ", ".join(f"{found.count(status)} x {status}" for status in sorted(set(found)))
