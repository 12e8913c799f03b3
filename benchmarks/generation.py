"""Texts streamed to 64 clients: tokens a second, time between frames, time to the first token.

    python -m benchmarks.generation [--seconds 4] [--rounds 3] [--streams 64]

The step model (see `step_work`). Floors of the same run: the raw loop at that batch, with sampling;
for an idle server three raw steps and the round trip of an echo on the same HTTP stack.

A frame carries what has been produced since the last one, so the time between tokens is that between
frames, as load generators for language models take it; tokens per frame are printed beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from app.bundle.reader import Bundle, read_bundle
from app.tasks.generate.task import produced
from benchmarks import bundle as bundles
from benchmarks import catalogue as peers
from benchmarks import step_work as work
from benchmarks.forecast_work import export_plain as export_forecaster
from benchmarks.forecast_work import load as load_forecaster
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server
from benchmarks.stateful_load import run, window
from rnnserve_bench.loops import ClosedLoop, Window
from rnnserve_bench.record import Record, percentile
from rnnserve_bench.socket_units import SocketUnit
from rnnserve_bench.streams import EventStreamUnit, StreamUnit

WAYS = {"socket": "WebSocket", "events": "server-sent events"}
_TOKENS = 200


@dataclass(slots=True)
class Results:
    """Rounds of each quantity, by name."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """One round's number."""
        self.rounds.setdefault(name, []).append(value)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument(
        "--firsts", type=int, default=200, help="first tokens at an idle server, in each round"
    )
    options = parser.parse_args()
    results = uvloop.run(measure(options))
    publish(
        "generation", figures(results, options.streams), {"options": vars(options), "rounds": results.rounds}
    )


async def measure(options: argparse.Namespace) -> Results:
    """All rounds."""
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaded = read_bundle(bundles.write_bundle(folder / "models"))
        forecaster = export_forecaster(load_forecaster(), folder / "plain")
        for _ in range(options.rounds):
            _raw(results, loaded, options)
            with Server(folder / "models", sessions="off", log_level="warning") as server:
                for way in WAYS:
                    before = server.cpu_s()
                    record = await streams(server.url, way, options.streams, options.seconds)
                    _take(results, way, record, server.cpu_s() - before, options.seconds)
                firsts = await first_tokens(server.url, options.firsts)
                results.add("first token p50", percentile(firsts, 50))
                results.add("first token p99", percentile(firsts, 99))
            results.add("echo p50", await echo(forecaster, options.firsts))
    return results


def _raw(results: Results, loaded: Bundle, options: argparse.Namespace) -> None:
    seconds = min(options.seconds, 2.0)
    results.add("raw with sampling", work.raw(loaded, options.streams, seconds, temperature=1.0))
    results.add("raw, most likely", work.raw(loaded, options.streams, seconds))
    results.add("raw step, batch 1", 1 / work.raw(loaded, 1, seconds, temperature=1.0))


def _take(results: Results, way: str, record: Record, cpu_s: float, seconds: float) -> None:
    if record.failures or not record.counts["tokens"]:
        raise RuntimeError(f"{WAYS[way]}: failures {dict(record.failures)}")
    rate = record.counts["tokens"] / record.seconds
    p50, p99 = record.percentile(50, "between_frames"), record.percentile(99, "between_frames")
    results.add(f"{way} tokens/s", rate)
    results.add(f"{way} p50", p50)
    results.add(f"{way} p99", p99)
    results.add(f"{way} tokens per frame", record.counts["tokens"] / record.counts["frames"])
    # Tokens outside the window cost as well; the run is as long as the window and its warm-up.
    results.add(f"{way} cpu", cpu_s / (rate * (seconds + window(seconds).warm_s)))
    print(
        f"  {WAYS[way]:20} {rate:8.0f} tokens/s  "
        f"between frames p50 {p50 * 1e3:6.2f} ms, p99 {p99 * 1e3:6.2f} ms",
        flush=True,
    )


def request(number: int, tokens: int = _TOKENS) -> bytes:
    """A generation: a short prompt, temperature 1."""
    return orjson.dumps(
        {
            "model": bundles.NAME,
            "prompt": "A",
            "max_tokens": tokens,
            "temperature": 1.0,
            "seed": number,
            "stream": True,
        }
    )


async def streams(url: str, way: str, num: int, seconds: float) -> Record:
    """So many generations at once; each client asks for the next text when one has ended.

    The texts end at different times, as they begin with different lengths.
    """
    units: list[StreamUnit] = []
    for index in range(num):
        first = 40 + (_TOKENS - 40) * index // num

        def make(number: int, index: int = index, first: int = first) -> bytes:
            return request(1000 * index + number, first if number == 1 else _TOKENS)

        if way == "socket":
            unit = StreamUnit(make, produced)
            await unit.open(f"{url}/generate")
        else:
            unit = EventStreamUnit(url, "/generate", make, produced)
            await unit.connect()
        units.append(unit)
    return await run(units, units, seconds)


async def first_tokens(url: str, num: int) -> Sequence[float]:
    """Seconds from a request to its first token, one client at an idle server."""
    unit = StreamUnit(lambda number: request(number, 1), produced)
    await unit.open(f"{url}/generate")
    try:
        record = await ClosedLoop([unit], Window(60.0), max_events=num).run()
    finally:
        unit.close()
    if record.failures:
        raise RuntimeError(f"first tokens: {dict(record.failures)}")
    return record.series["first_token"]


async def echo(model: Path, num: int) -> float:
    """Median seconds of a WebSocket round trip to a server that does nothing else."""
    sent = request(1)
    subject, address, _ = await peers.NOOP.start(model, b"{}")
    with subject:
        unit = SocketUnit(lambda number: sent, lambda frame: None)
        await unit.open(address)
        started = time.perf_counter()
        record = await ClosedLoop([unit], Window(60.0), max_events=num).run()
        unit.close()
    if not record.latencies:
        raise RuntimeError(f"no echo in {time.perf_counter() - started:.1f} s")
    return record.percentile(50)


def figures(results: Results, num: int) -> list[Figure]:
    """Floors, rates, times."""
    rounds = results.rounds
    found = [
        plain(f"raw loop with sampling, batch {num}", rounds["raw with sampling"], "tokens/s"),
        plain(f"raw loop, most likely token, batch {num}", rounds["raw, most likely"], "tokens/s"),
    ]
    for way, title in WAYS.items():
        rates = rounds[f"{way} tokens/s"]
        found.append(
            against(
                f"{num} streams, {title}",
                rates,
                rounds["raw with sampling"],
                "tokens/s",
                "raw loop",
                least=0.7,
            )
        )
        p50, p99 = ([1e3 * value for value in rounds[f"{way} {name}"]] for name in ("p50", "p99"))
        found.append(plain(f"between frames, median, {title}", p50, "ms"))
        found.append(against(f"between frames, p99, {title}", p99, p50, "ms", "its median", most=3.0))
        found.append(plain(f"tokens per frame, {title}", rounds[f"{way} tokens per frame"], "tokens"))
        found.append(
            plain(f"server CPU per token, {title}", [1e6 * one for one in rounds[f"{way} cpu"]], "us")
        )
    step, trip = rounds["raw step, batch 1"], rounds["echo p50"]
    floors = [1e3 * (3 * one + two) for one, two in zip(step, trip, strict=True)]
    found.append(plain("raw step with sampling, batch 1", [1e3 * one for one in step], "ms"))
    found.append(plain("round trip of an echo", [1e3 * one for one in trip], "ms"))
    first = [1e3 * one for one in rounds["first token p50"]]
    found.append(
        against("first token, idle server, median", first, floors, "ms", "3 raw steps and an echo", most=1.0)
    )
    last = [1e3 * one for one in rounds["first token p99"]]
    found.append(against("first token, idle server, p99", last, floors, "ms", "3 raw steps and an echo"))
    return found


if __name__ == "__main__":
    main()
