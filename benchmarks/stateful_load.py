"""Closed loops of many sessions with one event in flight each, in the ways that clients connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from app.tasks.generate.task import TASK
from rnnserve_bench.loops import ClosedLoop, Unit, Window
from rnnserve_bench.options import BenchOptions, Way
from rnnserve_bench.record import Record
from rnnserve_bench.scenarios import Closable, connect_sessions, run_loop
from rnnserve_bench.sessions import open_sessions

MODES: dict[str, str] = {
    "shared": "shared WebSockets",
    "socket": "a WebSocket each",
    "http": "HTTP",
}

_WARM_S = 1.0


def window(seconds: float) -> Window:
    """What is measured, behind a warm-up of a second, or of the same length where that is shorter."""
    return Window(seconds, min(_WARM_S, seconds))


async def drive(
    mode: str,
    url: str,
    *,
    prefix: str,
    num_sessions: int,
    num_sockets: int,
    seconds: float,
    body: Mapping[str, object],
) -> Record:
    """Open sessions on this server, keep an event of each in flight, and return what was seen."""
    ids = [f"{prefix}{index}" for index in range(num_sessions)]
    await open_sessions(url, ids, body)
    return await feed(mode, url, ids, num_sockets=num_sockets, seconds=seconds)


async def feed(mode: str, url: str, ids: Sequence[str], *, num_sockets: int = 4, seconds: float) -> Record:
    """The same for sessions that exist and are at step 0."""
    options = BenchOptions(
        url, "generate", TASK.load, sessions=True, way=cast(Way, mode), clients=len(ids), sockets=num_sockets
    )
    units, lines = await connect_sessions(ids, options)
    return await run(units, lines, seconds)


async def run(units: Sequence[Unit], lines: Sequence[Closable], seconds: float) -> Record:
    """The loop itself; ends the connections afterwards."""
    return await run_loop(ClosedLoop(units, window(seconds)), lines)
