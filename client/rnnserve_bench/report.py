"""A run's record as a document, and the document as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnnserve_bench.options import BenchOptions
from rnnserve_bench.record import Record


def report(options: BenchOptions, record: Record) -> dict[str, Any]:
    """Plain values for JSON; headers are left out, as they may hold a key."""
    load: dict[str, Any] = {
        "url": options.url,
        "scenario": options.scenario,
        "way": options.carried,
        "clients": options.clients,
        "connections": options.connections,
        "loop": "closed" if options.rate is None else "open",
        "rate": options.rate,
        "warm_s": options.warm_s,
        "model": options.model,
        "seed": options.seed,
    }
    if not options.sessions:
        load |= options.values
    result = record.summary()
    if record.counts["tokens"] and record.seconds:
        result["tokens_per_s"] = round(record.counts["tokens"] / record.seconds, 1)
    return {"load": load, "result": result}


def lines(document: dict[str, Any]) -> Iterator[str]:
    """A short table."""
    load, result = document["load"], document["result"]
    loop = "closed loop" if load["rate"] is None else f"open loop, {load['rate']:g} events/s"
    yield (
        f"{load['scenario']} over {load['way']}: "
        f"{load['clients']} clients on {load['connections']} connections, {loop}, {result['seconds']:g} s"
    )
    yield f"  answered          {result['answered']:,} ({result['per_s']:,.1f} a second)"
    if "tokens_per_s" in result:
        yield f"  tokens            {result['tokens']:,} ({result['tokens_per_s']:,.1f} a second)"
    for name, title in (
        ("latency_ms", "latency"),
        ("first_token_ms", "first token"),
        ("between_frames_ms", "between frames"),
        ("generator_lag_ms", "sent late by"),
    ):
        if result.get(name):
            spread = "  ".join(f"{key} {value:g}" for key, value in result[name].items())
            yield f"  {title:17} {spread}  (ms)"
    for kind, count in result["failures"].items():
        yield f"  failed            {count:,} x {kind}"
    if result["unanswered"]:
        yield f"  unanswered        {result['unanswered']:,}"
