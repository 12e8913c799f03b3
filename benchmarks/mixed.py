"""Short streams while long work arrives: what it does to the time between their tokens.

    python -m benchmarks.mixed [--seconds 6] [--rounds 3]

32 clients stream texts of a two-layer LSTM of 256. Beside them, in every other run, long prompts for the
same network and forecasts of 4,000 points arrive by a Poisson process, whatever the server does (an open
loop). Runs with and without take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from benchmarks import bundle as bundles
from benchmarks.forecast_work import BUNDLE, bodies
from benchmarks.generation import streams
from benchmarks.report import Figure, against, plain, publish
from benchmarks.server import Server
from benchmarks.stateful_load import window
from rnnserve_bench.loops import OpenLoop
from rnnserve_bench.record import Record
from rnnserve_bench.units import HttpUnit

_POINTS = 4000
_CONNECTIONS = 8


@dataclass(slots=True)
class Results:
    """Rounds: the short streams alone and beside long work, and the long work itself."""

    alone: list[Record] = field(default_factory=list)
    beside: list[Record] = field(default_factory=list)
    prompts: list[Record] = field(default_factory=list)
    forecasts: list[Record] = field(default_factory=list)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=4000, help="tokens of a long prompt")
    parser.add_argument("--prompts-per-s", type=float, default=2.0)
    parser.add_argument("--forecasts-per-s", type=float, default=4.0)
    options = parser.parse_args()
    results = uvloop.run(measure(options))
    notes = {
        "options": vars(options),
        "alone": [record.summary() for record in results.alone],
        "beside": [record.summary() for record in results.beside],
        "long prompts": [record.summary() for record in results.prompts],
        "long forecasts": [record.summary() for record in results.forecasts],
    }
    publish("mixed", figures(results, options), notes)


async def measure(options: argparse.Namespace) -> Results:
    """All rounds on one server."""
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        models = Path(name) / "models"
        bundles.write_bundle(models)
        shutil.copytree(BUNDLE.parent, models / BUNDLE.parent.name)
        with Server(models, sessions="off", log_level="warning") as server:
            await streams(server.url, "socket", options.streams, 1.0)
            for number in range(options.rounds):
                results.alone.append(await streams(server.url, "socket", options.streams, options.seconds))
                short, prompts, forecasts = await asyncio.gather(
                    streams(server.url, "socket", options.streams, options.seconds),
                    _long_prompts(server.url, options, number),
                    _long_forecasts(server.url, options, number),
                )
                for records, record in zip(
                    (results.beside, results.prompts, results.forecasts),
                    (short, prompts, forecasts),
                    strict=True,
                ):
                    if record.failures or not record.total:
                        raise RuntimeError(f"failures {dict(record.failures)}, {record.total} answered")
                    records.append(record)
    return results


async def _long_prompts(url: str, options: argparse.Namespace, seed: int) -> Record:
    text = bundles.CHARACTERS.replace("\n", "") * (options.prompt // len(bundles.CHARACTERS) + 1)
    body = orjson.dumps({"model": bundles.NAME, "prompt": text[: options.prompt], "max_tokens": 1, "seed": 1})
    return await _arrivals(url, "/generate", [body], options.prompts_per_s, options.seconds, seed)


async def _long_forecasts(url: str, options: argparse.Namespace, seed: int) -> Record:
    series = bodies(4, _POINTS)
    return await _arrivals(url, "/forecast", series, options.forecasts_per_s, options.seconds, seed + 1000)


async def _arrivals(
    url: str, path: str, made: Sequence[bytes], rate: float, seconds: float, seed: int
) -> Record:
    units = [
        HttpUnit(url, path, lambda number: made[number % len(made)], lambda body: None)
        for _ in range(_CONNECTIONS)
    ]
    for unit in units:
        await unit.open()
    try:
        return await OpenLoop(units, window(seconds), rate, any_unit=True, seed=seed).run()
    finally:
        for unit in units:
            unit.close()


def figures(results: Results, options: argparse.Namespace) -> list[Figure]:
    """The streams' times with and without, and what the long work got."""
    found: list[Figure] = []
    for name, percent, most in (("p50", 50.0, None), ("p99", 99.0, 2.0)):
        alone = [record.percentile(percent, "between_frames") * 1e3 for record in results.alone]
        beside = [record.percentile(percent, "between_frames") * 1e3 for record in results.beside]
        found.append(plain(f"between frames, {name}, streams alone", alone, "ms"))
        found.append(
            against(f"between frames, {name}, beside long work", beside, alone, "ms", "alone", most=most)
        )
    rates = [
        [one.counts["tokens"] / one.seconds for one in records] for records in (results.alone, results.beside)
    ]
    found.append(plain(f"{options.streams} streams alone", rates[0], "tokens/s"))
    found.append(
        against(f"{options.streams} streams beside long work", rates[1], rates[0], "tokens/s", "alone")
    )
    for title, records in (
        (f"prompt of {options.prompt} tokens", results.prompts),
        (f"forecast of {_POINTS} points", results.forecasts),
    ):
        found.append(plain(f"{title}, arriving", [one.per_s for one in records], "requests/s"))
        for percent in (50, 99):
            times = [one.percentile(percent) * 1e3 for one in records]
            found.append(plain(f"{title}, p{percent} from when it was due", times, "ms"))
    return found


if __name__ == "__main__":
    main()
