"""256 sessions, one event in flight each: this server on each store, the floors, and the peers.

    python -m benchmarks.stateful [--seconds 3] [--rounds 3] [--stores memory,process,power,redis]
                                  [--modes shared,socket,http] [--no-peers]

A session sends its next event when the last was answered. `shared` carries all sessions on a few
WebSockets, a frame holding whatever is ready; `socket` gives each session a WebSocket; `http` gives
each a kept-alive connection. The load generator is `rnnserve_bench`; its CPU per event is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from app.bundle.reader import Bundle, read_bundle
from app.runtime.cores import usable_cores
from benchmarks import bundle as bundles
from benchmarks import step_work as work
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server
from benchmarks.stateful_load import MODES, drive
from benchmarks.stateful_peer import PEERS, StatefulPeer
from rnnserve_bench.record import Record
from tests.redis_server import RedisServer

STORES = ("memory", "process", "power", "redis")
DEFAULT_STORE = "process"
SESSIONS = 256
RAW = {"1": (1, 1), "64": (64, 1), "256": (256, 1), "2 x 64": (64, 2)}
TORCHSERVE = "TorchServe, sequence batching"
AIMS = {"shared": 5.0, "socket": 2.0, "http": 1.2}


@dataclass(frozen=True, slots=True)
class Measure:
    """One run; milliseconds and microseconds of CPU per event."""

    per_s: float
    p50: float
    p99: float
    cpu: float
    client_cpu: float


@dataclass(slots=True)
class Results:
    """Rounds of each subject."""

    measures: dict[str, list[Measure]] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, record: Record, cpu_s: float) -> None:
        """Take and print a run.

        Raises:
            RuntimeError: nothing was answered, or something failed.
        """
        if record.failures or not record.answered:
            raise RuntimeError(f"{name}: {record.answered} answered, failures {dict(record.failures)}")
        found = Measure(
            record.per_s,
            record.percentile(50) * 1e3,
            record.percentile(99) * 1e3,
            cpu_s / record.total * 1e6,
            record.client_cpu_s / record.total * 1e6,
        )
        self.measures.setdefault(name, []).append(found)
        print(
            f"  {name:44} {found.per_s:8.0f}/s  p50 {found.p50:7.2f} ms  p99 {found.p99:7.2f} ms  "
            f"CPU {found.cpu:5.0f} us (client {found.client_cpu:4.0f} us)",
            flush=True,
        )

    def of(self, name: str, what: str) -> list[float]:
        """One quantity of a subject, a number for each round."""
        return [float(getattr(one, what)) for one in self.measures[name]]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--sockets", type=int, default=4, help="connections that carry all sessions")
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument(
        "--workers", type=int, default=usable_cores(), help="processes of this server; default: one a core"
    )
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    stores, modes = options.stores.split(","), options.modes.split(",")
    others = [one for one in PEERS if one.own or not options.no_peers]
    results = uvloop.run(measure(options, stores, modes, others))
    notes = {
        "options": vars(options),
        "not measured": results.missing,
        "setups": {one.name: f"{one.setup}; {one.tuning}" for one in others},
        "raw": results.raw,
        "measures": [
            {"subject": name, "per_s": one.per_s, "p50_ms": one.p50, "p99_ms": one.p99, "cpu_us": one.cpu,
             "client_cpu_us": one.client_cpu}
            for name, rounds in results.measures.items()
            for one in rounds
        ],
    }  # fmt: skip
    publish("stateful", figures(results, stores, modes), notes)


async def measure(
    options: argparse.Namespace, stores: Sequence[str], modes: Sequence[str], others: Sequence[StatefulPeer]
) -> Results:
    """All rounds, subjects one after the other in each."""
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaded = read_bundle(bundles.write_bundle(folder / "models"))
        model = work.export_plain(loaded, folder / "plain")
        for number in range(options.rounds):
            _raw(results, loaded, options.seconds)
            for store in stores:
                await _ours(results, store, modes, options, folder, number)
            for one in others:
                if one.name not in results.missing:
                    await _peer(results, one, options, model)
    return results


def _raw(results: Results, loaded: Bundle, seconds: float) -> None:
    for name, (batch, lanes) in RAW.items():
        results.raw.setdefault(name, []).append(work.raw(loaded, batch, min(seconds, 1.5), lanes))


async def _ours(
    results: Results, store: str, modes: Sequence[str], options: argparse.Namespace, folder: Path, number: int
) -> None:
    # Sessions in memory belong to one process.
    workers = 1 if store == "memory" else options.workers
    async with _address(store, folder, number) as flags:
        with Server(folder / "models", log_level="warning", workers=workers, **flags) as server:
            for mode in modes:
                before = server.cpu_s()
                record = await drive(
                    mode,
                    server.url,
                    prefix=f"{mode}-",
                    num_sessions=options.sessions,
                    num_sockets=options.sockets,
                    seconds=options.seconds,
                    body={"model": bundles.NAME},
                )
                results.add(_name(mode, store), record, server.cpu_s() - before)


async def _peer(results: Results, one: StatefulPeer, options: argparse.Namespace, model: Path) -> None:
    if not one.installed:
        results.missing[one.name] = "not installed (make bench-peers)"
        return
    try:
        subject, url = await one.start(model)
    except RuntimeError as error:
        results.missing[one.name] = str(error)[-600:]
        print(f"{one.name} is left out: {error}")
        return
    with subject:
        before = subject.cpu_s()
        record = await one.drive(url, options.sessions, options.seconds)
        results.add(one.name, record, subject.cpu_s() - before)


@contextlib.asynccontextmanager
async def _address(store: str, folder: Path, number: int) -> AsyncIterator[dict[str, object]]:
    """The server's flags for a store."""
    if store == "memory":
        yield {"sessions": "memory:"}
    elif store == "redis":
        place = folder / f"redis-{number}"
        place.mkdir()
        with RedisServer(place, append_only=False) as redis:
            yield {"sessions": redis.url}
    else:
        yield {"sessions": f"lmdb:{folder / f'{store}-{number}'}", "durability": store}


def _name(mode: str, store: str) -> str:
    stores = {"memory": "memory", "process": "lmdb", "power": "lmdb, power", "redis": "redis"}
    return f"rnnserve, {MODES[mode]}, {stores[store]}"


def figures(results: Results, stores: Sequence[str], modes: Sequence[str]) -> list[Figure]:
    """Everything measured, then what was aimed at."""
    found = [plain(f"raw loop, batch {name}", rates, "steps/s") for name, rates in results.raw.items()]
    raw = results.raw["2 x 64"]
    for name in results.measures:
        rates = results.of(name, "per_s")
        found.append(against(name, rates, raw[: len(rates)], "events/s", "raw loop, 2 x 64"))
    base: str | None = TORCHSERVE
    aims = AIMS
    if TORCHSERVE not in results.measures:
        base, aims = _best(results), {}
    for mode in modes:
        if DEFAULT_STORE not in stores:
            break
        mine = _name(mode, DEFAULT_STORE)
        rates = results.of(mine, "per_s")
        if base:
            theirs = results.of(base, "per_s")
            found.append(against(mine, rates, theirs, "events/s", base, least=aims.get(mode), group="aims"))
        for store in stores:
            other = results.of(_name(mode, store), "per_s")
            if store != DEFAULT_STORE:
                found.append(
                    against(_name(mode, store), other, rates, "events/s", "lmdb", group="durability")
                )
        found.append(
            plain(f"server CPU per event, {MODES[mode]}", results.of(mine, "cpu"), "us", group="cost")
        )
        client = results.of(mine, "client_cpu")
        found.append(plain(f"load generator's CPU per event, {MODES[mode]}", client, "us", group="cost"))
    return found


def _best(results: Results) -> str | None:
    names = [one.name for one in PEERS if one.name in results.measures]
    return max(names, key=lambda name: statistics.median(results.of(name, "per_s")), default=None)


if __name__ == "__main__":
    main()
