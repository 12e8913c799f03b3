"""What an event costs the server: one step of a session, against re-sending a window.

    python -m benchmarks.resend [--window 128] [--seconds 8]

The same two-layer LSTM of 256. The work of an event is the server process's CPU seconds, user
and system, divided by the events it answered; the raw ONNX Runtime loop is the floor of both.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import httpx2
import numpy as np

from app.bundle.reader import Bundle, read_bundle
from app.runtime.session import GraphSession
from benchmarks import bundle
from benchmarks.load import pipelined
from benchmarks.report import Figure, publish
from benchmarks.server import Server
from benchmarks.sessions import create, fresh
from benchmarks.stateful_load import feed

_CLIENTS = 64
_DEPTH = 32


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    try:
        measure(place, options.window, options.seconds)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(place: Path, window: int, seconds: float) -> None:
    """One server, three ways to ask it."""
    loaded = read_bundle(bundle.write_bundle(place / "models"))
    ids = [f"s{index}" for index in range(_CLIENTS)]
    with Server(place / "models", sessions=f"lmdb:{place / 'state'}", log_level="warning") as server:
        asyncio.run(create(server.url, ids))
        before = server.cpu_s()
        own = asyncio.run(feed("socket", server.url, ids, seconds=seconds))
        own_cpu = (server.cpu_s() - before) / own.total
        others = fresh(server.url, "t", _CLIENTS)
        before = server.cpu_s()
        shared = asyncio.run(feed("shared", server.url, others, seconds=seconds))
        shared_cpu = (server.cpu_s() - before) / shared.total
        streams = fresh(server.url, "u", _CLIENTS)
        before = server.cpu_s()
        deep = asyncio.run(pipelined(server.websocket, streams, _DEPTH, seconds))
        deep_cpu = (server.cpu_s() - before) / deep.total
        before = server.cpu_s()
        num_resent, resent_s = asyncio.run(resend(server.url, window, seconds))
        resent_cpu = (server.cpu_s() - before) / num_resent
    step_cpu, window_cpu = raw(loaded, 1), raw(loaded, window)
    costs = {
        "window sent again": (resent_cpu, window_cpu),
        "a socket for each session": (own_cpu, step_cpu),
        f"the same, {_DEPTH} in flight": (deep_cpu, step_cpu),
        "sessions on four sockets": (shared_cpu, step_cpu),
    }
    figures = [
        Figure(f"CPU per event, {name}", cost * 1e6, "us", cost / floor, "raw loop")
        for name, (cost, floor) in costs.items()
    ]
    figures += [
        Figure(f"saved by {name}", resent_cpu * 1e6, "us", resent_cpu / cost, "its cost", "at least 20")
        for name, (cost, _) in list(costs.items())[1:]
    ]
    figures += [
        Figure("events, window sent again", num_resent / resent_s, "events/s"),
        Figure("events, a socket for each session", own.per_s, "events/s"),
        Figure(f"events, the same, {_DEPTH} in flight", deep.per_s, "events/s"),
        Figure("events, sessions on four sockets", shared.per_s, "events/s"),
        Figure("raw step at batch 64", step_cpu * 1e6, "us"),
        Figure("raw window at batch 64", window_cpu * 1e6, "us"),
    ]
    publish("resend", figures, {"window": window, "clients": _CLIENTS})


async def resend(url: str, window: int, seconds: float) -> tuple[int, float]:
    """The whole window as a prompt for each event, one token back; returns events and seconds.

    This is the cheapest stateless question: only the last step's output is computed and read.
    """
    count = 0
    started = time.perf_counter()
    until = started + seconds
    body = {"model": bundle.NAME, "prompt": "a" * window, "max_tokens": 1, "temperature": 0}
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=_CLIENTS)) as http:

        async def drive() -> None:
            nonlocal count
            while time.perf_counter() < until:
                (await http.post(f"{url}/generate", json=body)).raise_for_status()
                count += 1

        await asyncio.gather(*(drive() for _ in range(_CLIENTS)))
    return count, time.perf_counter() - started


def raw(loaded: Bundle, length: int) -> float:
    """Seconds of a sequence of that length in the bare graph, in batches of the clients' number."""
    session = GraphSession(loaded.graph, loaded.manifest)
    rows = np.repeat(loaded.start[None], _CLIENTS, axis=0)
    tokens = np.full((_CLIENTS, length), 5, np.int64)
    times = []
    for _ in range(5 if length > 1 else 200):
        started = time.perf_counter()
        session.run(tokens, rows, length - 1)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / _CLIENTS


if __name__ == "__main__":
    main()
