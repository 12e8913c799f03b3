"""Forecasts over HTTP: this server, the floors, the naive server and the peers that are installed.

    python -m benchmarks.forecast [--seconds 3] [--rounds 5] [--peers mosec,torchserve | --no-peers]

168 points in, 24 steps of each quantile out, 1, 16 and 64 connections. In each round each subject is started,
warmed and measured alone, one after the other, so that the machine's drift meets all of them; ratios
are taken within a round, and the medians over rounds are reported.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.bundle.reader import Bundle
from app.runtime.cores import usable_cores
from benchmarks import catalogue as peers
from benchmarks import forecast_work as work
from benchmarks import wrk
from benchmarks.peer import Peer
from benchmarks.processes import Subject, answers
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server

CONNECTIONS = (1, 16, 64)
OURS, OURS_ALONE = "rnnserve", "rnnserve, 1 worker"
_TOLERANCE = 1e-4
RAW = {"1": (1, 1), "4": (4, 1), "64": (64, 1), "2 x 4": (4, 2), "2 x 16": (16, 2)}
"""Raw loops: batch and sessions side by side, one thread each."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One subject at one number of connections in one round; milliseconds, CPU seconds per 1,000 requests."""

    per_s: float
    p50: float
    p99: float
    cpu: float


@dataclass(slots=True)
class Results:
    """Rounds of everything: measures by subject and connections, raw rates by name, and by version how long
    one forecast takes.
    """

    measures: dict[tuple[str, int], list[Measure]] = field(default_factory=dict)
    raw: dict[str, list[float]] = field(default_factory=dict)
    micros: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def of(self, name: str, connections: int, what: str) -> list[float]:
        """One quantity of a subject, a number for each round."""
        return [float(getattr(one, what)) for one in self.measures[(name, connections)]]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, help="rounds with peers; default: all")
    parser.add_argument(
        "--peers", default="", help="folders of benchmarks/peers, by commas; default: all installed"
    )
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--connections", default=",".join(map(str, CONNECTIONS)))
    parser.add_argument(
        "--workers", type=int, default=usable_cores(), help="processes of this server; default: one a core"
    )
    options = parser.parse_args()
    wanted = [name for name in options.peers.split(",") if name]
    others = [] if options.no_peers else [one for one in peers.OTHERS if not wanted or one.folder in wanted]
    connections = [int(number) for number in options.connections.split(",")]
    results = asyncio.run(
        measure(
            others,
            connections,
            seconds=options.seconds,
            num_rounds=options.rounds,
            peer_rounds=options.rounds if options.peer_rounds is None else options.peer_rounds,
            workers=options.workers,
        )
    )
    notes = {
        "options": vars(options),
        "not measured": results.missing,
        "setups": {one.name: one.setup or str(one.tuning) for one in [peers.NOOP, *peers.NAIVE, *others]},
        "measures": [
            {"subject": name, "connections": number, "per_s": one.per_s, "p50_ms": one.p50, "p99_ms": one.p99,
             "cpu_s_per_1000": one.cpu}
            for (name, number), rounds in results.measures.items()
            for one in rounds
        ],
        "raw": results.raw,
        "micros": results.micros,
    }  # fmt: skip
    publish("forecast", figures(results, connections), notes)


async def measure(
    others: Sequence[Peer],
    connections: Sequence[int],
    *,
    seconds: float,
    num_rounds: int,
    peer_rounds: int,
    workers: int = 1,
) -> Results:
    """All rounds."""
    results = Results()
    bundle = work.load()
    with tempfile.TemporaryDirectory() as folder:
        model = work.export_plain(bundle, Path(folder) / "model")
        for number in range(num_rounds):
            _raw(results, bundle, seconds)
            await _ours(results, OURS, connections, seconds, workers)
            if workers > 1:
                await _ours(results, OURS_ALONE, connections, seconds, 1)
            subjects = [peers.NOOP, *peers.NAIVE, *(others if number < peer_rounds else [])]
            for one in subjects:
                if one.name not in results.missing:
                    await _peer(results, one, connections, seconds, model)
    return results


def _raw(results: Results, bundle: Bundle, seconds: float) -> None:
    for name, (batch, lanes) in RAW.items():
        rate = work.raw(bundle, batch, min(seconds, 1.5), lanes)
        results.raw.setdefault(name, []).append(rate)
    versions = [bundle, work.load(work.FIRST)]
    for one, micros in zip(versions, work.micros(versions, seconds), strict=True):
        results.micros.setdefault(one.manifest.reference, []).append(micros)


async def _ours(
    results: Results, name: str, connections: Sequence[int], seconds: float, workers: int
) -> None:
    flags = {"sessions": "off", "log_level": "warning", "workers": workers}
    with Server(work.BUNDLE.parent.parent, **flags) as server:
        answer = await answers(server, server.url, "/forecast", work.bodies(1)[0])
        _check(name, answer)
        await _drive(results, name, server, server.url + "/forecast", work.bodies(), connections, seconds)


async def _peer(results: Results, one: Peer, connections: Sequence[int], seconds: float, model: Path) -> None:
    bodies = work.bodies()
    if not one.installed:
        results.missing[one.name] = "not installed (make bench-peers)"
        return
    try:
        subject, url, answer = await one.start(model, bodies[0])
    except RuntimeError as error:
        results.missing[one.name] = str(error)[-600:]
        print(f"{one.name} is left out: {error}")
        return
    with subject:
        if one is not peers.NOOP:
            _check(one.name, answer)
        await _drive(
            results, one.name, subject, url, [one.body(body) for body in bodies], connections, seconds
        )


def _check(name: str, answer: bytes) -> None:
    """All must have done the same work."""
    wanted = work.expected(work.load())
    off = work.differs(answer, wanted)
    if off > _TOLERANCE * float(abs(wanted).max()):
        raise RuntimeError(f"{name} answers another forecast, {off:g} away")


async def _drive(
    results: Results,
    name: str,
    subject: Subject,
    url: str,
    bodies: Sequence[bytes],
    connections: Sequence[int],
    seconds: float,
) -> None:
    for number in connections:
        if seconds >= 1:
            await wrk.closed(url, bodies, number, 1)
        before = subject.cpu_s()
        closed = await wrk.closed(url, bodies, number, seconds)
        cpu = (subject.cpu_s() - before) / closed.requests * 1000
        found = Measure(closed.per_s, closed.p50, closed.p99, cpu)
        results.measures.setdefault((name, number), []).append(found)
        bad = f"  {closed.wrong} wrong, {closed.lost} lost" if closed.wrong or closed.lost else ""
        print(
            f"  {name:24} {number:3} connections: {found.per_s:8.0f}/s  p50 {found.p50:7.2f} ms  "
            f"p99 {found.p99:7.2f} ms  {found.cpu:6.3f} CPU s/1000{bad}",
            flush=True,
        )


def _count(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"


def combined(raw: float, noop: float) -> float:
    """The floor of doing both, one after the other."""
    return 1 / (1 / raw + 1 / noop)


def figures(results: Results, connections: Sequence[int]) -> list[Figure]:
    """Everything measured, then what was aimed at."""
    names = list(dict.fromkeys(name for name, _ in results.measures))
    found = [
        plain(f"raw ONNX Runtime, batch {name}", rates, "sequences/s") for name, rates in results.raw.items()
    ]
    (ours, micros), (first, of_first) = results.micros.items()
    found.append(against(f"one forecast, {ours}", micros, of_first, "us, raw", first, most=1.5))
    for number in connections:
        for name in names:
            found.append(plain(f"{name}, {_count(number)}", results.of(name, number, "per_s"), "requests/s"))
    for number in connections:
        found += _aims(results, names, number)
    return found


def _aims(results: Results, names: Sequence[str], number: int) -> list[Figure]:
    ours, floor = results.of(OURS, number, "per_s"), results.of(peers.NOOP.name, number, "per_s")
    raw = results.raw["1" if number == 1 else "2 x 4"]
    naive = _best(results, [one.name for one in peers.NAIVE if one.name in names], number)
    group = f"{_count(number)}"
    found = [
        against(
            f"{OURS}, {_count(number)}",
            ours,
            [combined(*pair) for pair in zip(raw, floor, strict=True)],
            "requests/s",
            "raw and no-op",
            least=None if number == 1 else 0.6,
            group=group,
        )
    ]
    if naive:
        found.append(_versus(results, naive, number, 1.0 if number == 1 else None, group))
    measured = [one for one in peers.OTHERS if one.name in names]
    best = _best(results, [one.name for one in measured if not one.beyond], number)
    if best:
        found.append(_versus(results, best, number, 1.5 if number > 1 else None, group))
    for one in measured:
        if one.beyond:
            found.append(_versus(results, one.name, number, None, group))
    p50, p99 = results.of(OURS, number, "p50"), results.of(OURS, number, "p99")
    if number == 1:
        floors = [
            1e3 / one + two for one, two in zip(raw, results.of(peers.NOOP.name, 1, "p50"), strict=True)
        ]
        found.append(
            against("p50, 1 connection", p50, floors, "ms", "raw batch 1 and no-op", most=1.6, group=group)
        )
    else:
        aim = 2.0 if number == 64 else None
        found.append(against(f"p99, {_count(number)}", p99, p50, "ms", "its p50", most=aim, group=group))
    mosec = next((one.name for one in measured if one.name == "Mosec"), naive)
    if mosec:
        cpu, others = results.of(OURS, number, "cpu"), results.of(mosec, number, "cpu")
        most = 0.7 if number == 64 and mosec != naive else None
        what = f"CPU per 1,000 requests, {_count(number)}"
        found.append(against(what, cpu[: len(others)], others, "s", mosec, most=most, group=group))
    return found


def _best(results: Results, names: Sequence[str], number: int) -> str | None:
    rates = {name: statistics.median(results.of(name, number, "per_s")) for name in names}
    return max(rates, key=lambda name: rates[name]) if rates else None


def _versus(results: Results, other: str, number: int, least: float | None, group: str) -> Figure:
    theirs = results.of(other, number, "per_s")
    ours = results.of(OURS, number, "per_s")[: len(theirs)]
    return against(f"{OURS}, {_count(number)}", ours, theirs, "requests/s", other, least=least, group=group)


if __name__ == "__main__":
    main()
