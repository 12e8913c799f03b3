"""Live streams of sound in real time: how late a partial text comes, and what a stream costs.

    python -m benchmarks.live [--streams 64] [--seconds 20] [--models models] [--kept]

Each stream sends forty milliseconds of sound every forty milliseconds. A partial is late by the time since
its last sample was sent. The floor is the graph alone in ONNX Runtime, a step of one stream, or of all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect

from app.bundle.reader import Bundle, find_bundles, read_bundle, read_manifest
from app.runtime.session import GraphSession
from benchmarks.report import Figure, publish
from benchmarks.server import Server

_TASK = "transcribe"
_SOUND = Path(__file__).parent.parent / "examples/digits.wav"
_STEP_S = 0.04
_LATEST_MS = 100.0


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--kept", action="store_true", help="each stream is a session on disk")
    options = parser.parse_args()
    folders = [path for path in find_bundles(options.models) if read_manifest(path).task == _TASK]
    alone, together = raw(read_bundle(folders[-1]), 1), raw(read_bundle(folders[-1]), options.streams)
    with tempfile.TemporaryDirectory() as state:
        where = f"lmdb:{state}" if options.kept else "memory:"
        with Server(options.models, sessions=where, log_level="warning") as server:
            before = server.cpu_s()
            delays = asyncio.run(
                listen(server.websocket, options.streams, options.seconds, kept=options.kept)
            )
            spent = server.cpu_s() - before
    heard = options.streams * options.seconds
    late = np.percentile(delays, [50, 99]) * 1000
    figures = [
        Figure("delay of a partial, median", float(late[0]), "ms"),
        Figure("delay of a partial, p99", float(late[1]), "ms", target="below 100 ms", most=_LATEST_MS),
        Figure(
            "real-time factor of a stream: CPU of the server",
            spent / heard,
            "s/s",
            spent / heard / (alone / _STEP_S),
            "raw ONNX Runtime, one stream a run",
        ),
        Figure("the same, raw, one stream a run", alone / _STEP_S, "s/s"),
        Figure(f"the same, raw, {options.streams} streams a run", together / _STEP_S, "s/s"),
        Figure("partials", len(delays) / options.seconds, "1/s"),
    ]
    publish("live", figures, {"streams": options.streams, "seconds": options.seconds, "kept": options.kept})


def raw(bundle: Bundle, streams: int) -> float:
    """Seconds of a step of one stream in the bare graph."""
    session = GraphSession(bundle.graph, bundle.manifest)
    (width,) = bundle.manifest.graph.input.shape
    steps = np.random.default_rng(0).normal(0, 0.1, (streams, 1, width)).astype(np.float32)
    rows = np.repeat(bundle.start[None], streams, axis=0)
    times = []
    for _ in range(100):
        began = time.perf_counter()
        session.run(steps, rows, 0)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) / streams


async def listen(url: str, streams: int, seconds: float, *, kept: bool) -> list[float]:
    """The delays of all partials, in seconds."""
    with wave.open(str(_SOUND)) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    size = 2 * round(_STEP_S * rate)
    chunks = [data[at : at + size] for at in range(0, len(data) - size, size)]
    delays: list[float] = []

    async def stream(index: int) -> None:
        sent: list[float] = []
        start = {"type": "start", "sample_rate": rate, "session": f"live-{index}" if kept else None}
        async with connect(f"{url}/{_TASK}", compression=None) as socket:
            await socket.send(json.dumps(start))
            await socket.recv()

            async def speak() -> None:
                began = time.perf_counter() + _STEP_S * index / streams
                for step in range(round(seconds / _STEP_S)):
                    await asyncio.sleep(max(0.0, began + step * _STEP_S - time.perf_counter()))
                    await socket.send(chunks[step % len(chunks)])
                    sent.append(time.perf_counter())
                await socket.send(json.dumps({"type": "finish"}))

            speaking = asyncio.create_task(speak())
            async for message in socket:
                frame = json.loads(message)
                if frame["type"] == "partial":
                    delays.append(time.perf_counter() - sent[frame["samples"] * 2 // size - 1])
                elif frame["type"] in ("done", "error"):
                    break
            await speaking

    await asyncio.gather(*(stream(index) for index in range(streams)))
    return delays


if __name__ == "__main__":
    main()
