"""Processes, memory, start and endurance.

    python -m benchmarks.scaling [--seconds 3] [--rounds 3] [--workers 1,2] [--soak-seconds 600]

Scaling: forecasts at 64 connections and 256 sessions on shared WebSockets, with one and more processes.
Memory: of a worker, of a model, of a session. Start: from the start of the process to the first
forecast, with the shipped bundles. Endurance: memory while requests of random shapes keep coming.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from benchmarks import bundle as bundles
from benchmarks import wrk
from benchmarks.forecast_work import BUNDLE, bodies
from benchmarks.processes import answers
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server
from benchmarks.soak import Soak, soak
from benchmarks.stateful_load import drive
from rnnserve_bench.http_line import HttpLine
from rnnserve_bench.sessions import open_sessions

SHIPPED = BUNDLE.parent.parent
_SESSIONS = 4000
_WARM = 500
_GROUP = 250


@dataclass(slots=True)
class Results:
    """Rounds by name, and the soak."""

    rounds: dict[str, list[float]] = field(default_factory=dict)
    soak: Soak | None = None

    def add(self, name: str, value: float) -> None:
        """One round's number."""
        self.rounds.setdefault(name, []).append(value)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--sessions", type=int, default=_SESSIONS, help="for the memory of one")
    parser.add_argument("--soak-seconds", type=float, default=600.0, help="0 leaves it out")
    options = parser.parse_args()
    results = uvloop.run(measure(options))
    notes = {"options": vars(options), "rounds": results.rounds}
    if results.soak is not None:
        notes["soak"] = results.soak.notes()
    publish("scaling", figures(results, options), notes)


async def measure(options: argparse.Namespace) -> Results:
    """Everything, one after the other."""
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles.write_bundle(folder / "step")
        for number in range(options.rounds):
            await _start(results, folder / f"start-{number}")
            for workers in map(int, options.workers.split(",")):
                await _workers(results, folder, workers, number, options.seconds)
        await _memory(results, folder, options.sessions)
        if options.soak_seconds:
            with Server(SHIPPED, sessions=f"lmdb:{folder / 'soak'}", log_level="warning") as server:
                results.soak = await soak(server, options.soak_seconds)
    return results


async def _start(results: Results, state: Path) -> None:
    """Cold start to the first forecast, and what the idle process then holds."""
    with Server(SHIPPED, sessions=f"lmdb:{state}", log_level="warning") as server:
        await answers(server, server.url, "/forecast", bodies(1)[0])
        results.add("start", time.perf_counter() - server.started)
        held = server.memory()
        results.add("idle rss", held.rss)
        results.add("idle pss", held.pss)
        results.add("idle anonymous", held.anonymous)


async def _workers(results: Results, folder: Path, workers: int, number: int, seconds: float) -> None:
    with Server(SHIPPED, sessions="off", log_level="warning", workers=workers) as server:
        await answers(server, server.url, "/forecast", bodies(1)[0])
        if seconds >= 1:
            await wrk.closed(f"{server.url}/forecast", bodies(), 64, 1)
        closed = await wrk.closed(f"{server.url}/forecast", bodies(), 64, seconds)
        results.add(f"forecasts, {workers}", closed.per_s)
        results.add(f"pss, {workers}", server.memory().pss)
    state = f"lmdb:{folder / f'state-{workers}-{number}'}"
    with Server(folder / "step", sessions=state, log_level="warning", workers=workers) as server:
        record = await drive(
            "shared",
            server.url,
            prefix="s",
            num_sessions=256,
            num_sockets=8,
            seconds=seconds,
            body={"model": bundles.NAME},
        )
        if record.failures:
            raise RuntimeError(f"sessions: {dict(record.failures)}")
        results.add(f"events, {workers}", record.per_s)


async def _memory(results: Results, folder: Path, num_sessions: int) -> None:
    """What one more model and one more session take."""
    held = []
    for copies in (1, 4):
        models = folder / f"models-{copies}"
        for index in range(copies):
            bundles.write_bundle(models, name=f"{bundles.NAME}-{index}")
        with Server(models, sessions="off", log_level="warning") as server:
            body = orjson.dumps({"model": f"{bundles.NAME}-0", "prompt": "A", "max_tokens": 1})
            await answers(server, server.url, "/generate", body)
            held.append(server.memory().pss)
    results.add("model", (held[1] - held[0]) / 3)
    graph = next((folder / "models-1").glob("*/1/model.onnx")).stat().st_size / 2**20
    results.add("model's graph", graph)
    warm = min(_WARM, num_sessions)
    for store in ("memory:", f"lmdb:{folder / 'many'}"):
        with Server(folder / "step", sessions=store, log_level="warning") as server:
            await _used_sessions(server.url, [f"warm-{index}" for index in range(warm)])
            before = server.memory().anonymous
            await _used_sessions(server.url, [f"s-{index}" for index in range(num_sessions)])
            grown = (server.memory().anonymous - before) * 2**20 / num_sessions
            results.add(f"session, {store.partition(':')[0]}", grown)
    stored = sum(path.stat().st_blocks * 512 for path in (folder / "many").rglob("*") if path.is_file())
    results.add("session on disk", stored / (num_sessions + warm))


async def _used_sessions(url: str, ids: Sequence[str]) -> None:
    """Open them and feed each one step: a new one has nothing to keep yet."""
    await open_sessions(url, ids, {"model": bundles.NAME})
    line = HttpLine(url)
    try:
        for first in range(0, len(ids), _GROUP):
            steps = [{"id": id, "seq": 1, "inputs": [5]} for id in ids[first : first + _GROUP]]
            status, answer = await line.ask("POST", "/sessions/steps", orjson.dumps({"steps": steps}))
            if status != 200 or b'"error"' in answer:
                raise RuntimeError(f"POST /sessions/steps answered {status}: {answer[:300]!r}")
    finally:
        line.close()


def figures(results: Results, options: argparse.Namespace) -> list[Figure]:
    """In the order of the module's text."""
    rounds = results.rounds
    counts = [int(number) for number in options.workers.split(",")]
    found: list[Figure] = []
    for what, unit in (("forecasts", "requests/s"), ("events", "events/s")):
        for workers in counts:
            rates, one = rounds[f"{what}, {workers}"], rounds[f"{what}, {counts[0]}"]
            title = f"{what}, {workers} worker{'s' if workers > 1 else ''}"
            found.append(against(title, rates, one, unit, f"{counts[0]} worker"))
    if len(counts) > 1:
        more = statistics.median(rounds[f"pss, {counts[-1]}"]) - statistics.median(
            rounds[f"pss, {counts[0]}"]
        )
        found.append(
            plain("memory of one more worker, shipped bundles", [more / (counts[-1] - counts[0])], "MB")
        )
    found += [
        plain("memory of one more model", rounds["model"], "MB"),
        plain("its graph on disk", rounds["model's graph"], "MB"),
        plain("memory of one more session, memory store", rounds["session, memory"], "bytes"),
        plain("memory of one more session, lmdb", rounds["session, lmdb"], "bytes"),
        plain("disk of one more session, lmdb", rounds["session on disk"], "bytes"),
        plain("cold start to the first forecast", rounds["start"], "s", most=2.5),
        plain("idle RSS, shipped bundles", rounds["idle rss"], "MB", most=200.0),
        plain("idle anonymous memory, shipped bundles", rounds["idle anonymous"], "MB"),
    ]
    if results.soak is not None:
        found += results.soak.figures()
    return found


if __name__ == "__main__":
    main()
