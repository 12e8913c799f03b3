"""Three times the load that a server sustains: what is accepted, what is refused, and how it is afterwards.

    python -m benchmarks.overload [--seconds 60] [--times 3] [--connections 1000] [--only forecasts,steps]

A closed loop of 64 connections finds the sustainable rate. Then requests fall due by a Poisson process
at a multiple of it, whatever the server does (an open loop). One that finds every connection busy waits for
one, as in a client's pool; how many were sent is printed. First forecasts, whose queue is bounded by
``--max-queued-steps``, then steps of sessions, of which each connection has its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import statistics
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.forecast_work import BUNDLE, bodies
from benchmarks.overload_load import Asker
from benchmarks.report import Figure, plain, publish
from benchmarks.server import Server
from benchmarks.stateful_load import window
from rnnserve_bench.loops import ClosedLoop, OpenLoop, Window
from rnnserve_bench.record import Record, percentile
from rnnserve_bench.sessions import open_sessions

_LONGEST_S = 30.0
_SUSTAINED = 64
_OPENED_AT_ONCE = 50
_FIRSTS = 15
_LOOK_S = 0.5
_NOT_SENT = "not sent: too many events wait"
_SHOWN = {"forecasts": "forecasts", "steps": "session steps"}

Make = Callable[[str, str, int, Record], Awaitable[list[Asker]]]
"""Connections for a server's URL, a prefix of names, how many, and what they write to."""


@dataclass(slots=True)
class Part:
    """What one kind of request saw.

    Attributes:
        sustained: answers a second of the closed loop.
        loop: of the open loop: failures, and times from when a request was due.
        record: of the open loop: the series ``accepted`` and ``refused``.
        seconds: that the open loop took, with what was still to be answered at its end.
        memory: seconds since its start, resident megabytes.
        before, after: seconds of single requests to the idle server, on a new connection each.
    """

    sustained: float
    loop: Record = field(default_factory=Record)
    record: Record = field(default_factory=Record)
    seconds: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each overload")
    parser.add_argument("--sustain-seconds", type=float, default=5.0, help="of each closed loop")
    parser.add_argument("--times", type=float, default=3.0, help="the sustainable load")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--max-queued-steps", type=int, default=20_000)
    parser.add_argument("--request-timeout-s", type=float, default=5.0)
    parser.add_argument("--only", default="forecasts,steps", help="parts by commas")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    try:
        parts = uvloop.run(measure(place, options))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    notes = {
        "options": vars(options),
        **{
            name: {"loop": part.loop.summary(), "kinds": part.record.summary(), "memory": part.memory}
            for name, part in parts.items()
        },
    }
    found = [figure for name, part in parts.items() for figure in figures(name, part, options)]
    publish("overload", found, notes)


async def measure(place: Path, options: argparse.Namespace) -> dict[str, Part]:
    """Each part on a server of its own."""
    makers: dict[str, Make] = {"forecasts": forecasts, "steps": steps}
    parts: dict[str, Part] = {}
    for name in options.only.split(","):
        flags = {"max_queued_steps": options.max_queued_steps, "request_timeout_s": options.request_timeout_s}
        with Server(
            BUNDLE.parent.parent, sessions=f"lmdb:{place / name}", log_level="warning", **flags
        ) as server:
            parts[name] = await _part(server, makers[name], options)
            if "Traceback" in server.log:
                raise RuntimeError(server.log)
    return parts


async def forecasts(url: str, prefix: str, count: int, record: Record) -> list[Asker]:
    """Connections that ask for forecasts of 168 hours."""
    made = bodies()

    def body(first: int, number: int) -> bytes:
        return made[(first + number) % len(made)]

    return [Asker(url, "/forecast", partial(body, first), record) for first in range(count)]


async def steps(url: str, prefix: str, count: int, record: Record) -> list[Asker]:
    """Connections that feed a session each, one value a request, with ``seq``."""
    ids = [f"{prefix}{index}" for index in range(count)]
    await open_sessions(url, ids, {"task": "forecast", "options": {"freq": "h"}})
    return [Asker(url, f"/sessions/{id}/steps", _step, record) for id in ids]


def _step(number: int) -> bytes:
    return b'{"seq":%d,"inputs":%d}' % (number, 20 + number % 24)


async def _part(server: Server, make: Make, options: argparse.Namespace) -> Part:
    # A pause of the collector in the generator would look like one of the server.
    gc.collect()
    gc.disable()
    try:
        closed = Record()
        units = await _opened(await make(server.url, "sustained-", _SUSTAINED, closed))
        seconds = options.sustain_seconds
        # Longer where nothing was answered in that time, as on a machine that does much else.
        while not (loop := await ClosedLoop(units, window(seconds)).run()).per_s and seconds < _LONGEST_S:
            seconds *= 4
        _close(units)
        if loop.failures or len(closed.series.get("refused", ())):
            raise RuntimeError(f"{_SUSTAINED} connections are too many: {dict(loop.failures)}")
        part = Part(loop.per_s)
        part.before = await _firsts(server.url, make, "before-")
        units = await _opened(await make(server.url, "overload-", options.connections, part.record))
        watching = asyncio.create_task(_watch(server, part.memory))
        started = time.perf_counter()
        open_loop = OpenLoop(
            units, Window(options.seconds, 0.0), options.times * part.sustained, any_unit=True, max_waiting=1
        )
        part.loop = await open_loop.run()
        part.seconds = time.perf_counter() - started
        watching.cancel()
        part.after = await _firsts(server.url, make, "after-")
        _close(units)
        return part
    finally:
        gc.enable()


async def _opened(units: list[Asker]) -> list[Asker]:
    for start in range(0, len(units), _OPENED_AT_ONCE):
        await asyncio.gather(*(unit.open() for unit in units[start : start + _OPENED_AT_ONCE]))
    return units


def _close(units: Sequence[Asker]) -> None:
    for unit in units:
        unit.close()


async def _firsts(url: str, make: Make, prefix: str) -> list[float]:
    """Seconds of the first requests, one after the other, the connection included."""
    found = Record()
    for unit in await make(url, prefix, _FIRSTS, found):
        started = time.perf_counter()
        await unit.open()
        await ClosedLoop([unit], Window(60.0), max_events=1).run()
        found.add("first", time.perf_counter() - started)
        unit.close()
    if len(found.series.get("accepted", ())) != _FIRSTS:
        raise RuntimeError("a request to an idle server was not answered")
    return list(found.series["first"])


async def _watch(server: Server, samples: list[tuple[float, float]]) -> None:
    started = time.perf_counter()
    while True:
        samples.append((round(time.perf_counter() - started, 2), round(server.memory().rss, 1)))
        await asyncio.sleep(_LOOK_S)


def figures(name: str, part: Part, options: argparse.Namespace) -> list[Figure]:
    """What was promised, as figures with targets; a rate or time without one is for the reader."""
    accepted, refused = (part.record.series.get(kind, array("d")) for kind in ("accepted", "refused"))
    wrong = sum(count for kind, count in part.loop.failures.items() if kind != _NOT_SENT)
    sent = len(accepted) + len(refused) + wrong
    deadline = options.request_timeout_s
    held = [megabytes for _, megabytes in part.memory]
    early, late = held[len(held) // 4], statistics.median(held[-5:])
    before, after = statistics.median(part.before), statistics.median(part.after[:5])
    what = _SHOWN[name]
    found = [
        plain(f"{what}, sustained by {_SUSTAINED} connections", [part.sustained], "requests/s"),
        _of(f"{what}, sent", sent / part.seconds, "requests/s", part.sustained, "the sustained"),
        _of(f"{what}, accepted", len(accepted) / part.seconds, "requests/s", part.sustained, "the sustained"),
        _of(f"{what}, accepted, p99", percentile(accepted, 99), "s", deadline, "the deadline", most=1),
        _of(f"{what}, accepted, slowest", max(accepted), "s", deadline, "the deadline", most=1),
        plain(f"{what}, refused with Retry-After", [len(refused) / part.seconds], "requests/s"),
    ]
    if refused:
        for percent in (50, 99):
            took = percentile(refused, percent) * 1e3
            found.append(plain(f"{what}, refused, p{percent}", [took], "ms"))
    return [
        *found,
        plain(f"{what}, neither", [float(wrong + part.loop.unanswered)], "requests", most=0),
        _of(f"{what}, RSS at the end", late, "MB", early, "a quarter in", most=1.05),
        _of(f"{what}, first ones afterwards", after * 1e3, "ms", before * 1e3, "before", most=2),
    ]


def _of(name: str, value: float, unit: str, floor: float, of: str, most: float | None = None) -> Figure:
    return Figure(name, value, unit, value / floor, of, most=most)


if __name__ == "__main__":
    main()
