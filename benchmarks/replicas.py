"""Session steps of replicas on one store, and what a step costs the store.

    python -m benchmarks.replicas [--replicas 1,2,4] [--sessions 64] [--seconds 3] [--rounds 2]

So many sessions on each replica, on four shared WebSockets, one event in flight each. The store is one Valkey
that keeps nothing on disk, and then a cluster of three. Its own counters say how often it is asked and how
many bytes pass for a step, and how many steps a core of it has the time for: where it becomes the limit,
however many cores the replicas have. Here all of them and the load share the cores of one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import numpy as np
from numpy.typing import NDArray

from benchmarks import bundle as bundles
from benchmarks.report import Figure, plain, publish
from benchmarks.server import Server
from benchmarks.stateful_load import feed
from rnnserve_bench.record import Record
from rnnserve_bench.sessions import open_sessions
from tests.redis_cluster import RedisCluster
from tests.redis_server import RedisServer

_DEADLINE_S = 30.0
SINGLE, CLUSTER = "one server", "a cluster of three"


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", default="1,2,4", help="numbers of them, by commas")
    parser.add_argument("--sessions", type=int, default=64, help="on each")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    rounds: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        models = Path(name) / "models"
        bundles.write_bundle(models)
        for turn in range(options.rounds):
            for store in (SINGLE, CLUSTER):
                for replicas in map(int, options.replicas.split(",")):
                    folder = Path(name) / f"{turn}-{store}-{replicas}"
                    folder.mkdir()
                    measured = measure(models, folder, store, replicas, options.sessions, options.seconds)
                    rounds.setdefault((store, replicas), []).append(measured)
                    print(f"  {store}, {replicas} replicas: {measured['steps']:,.0f} steps/s", flush=True)
    publish("replicas", figures(rounds), {"options": vars(options)})


def measure(
    models: Path, folder: Path, store: str, replicas: int, sessions: int, seconds: float
) -> dict[str, float]:
    """Steps a second of all replicas, and what one costs."""
    with ExitStack() as stack:
        address, nodes = stack.enter_context(_opened(store, folder))
        flags = {"sessions": address, "log_level": "error"}
        urls = [stack.enter_context(Server(models, **flags)).url for _ in range(replicas)]
        fed = [(url, [f"{number}-{index}" for index in range(sessions)]) for number, url in enumerate(urls)]
        for url, ids in fed:
            _wait_until_ready(url)
            asyncio.run(open_sessions(url, ids, {"model": bundles.NAME}))
        before = _counters(nodes)
        records = asyncio.run(_feed(fed, seconds))
        spent = _counters(nodes) - before
    if any(record.failures for record in records):
        raise RuntimeError(f"{store}: failures {[dict(record.failures) for record in records]}")
    steps = sum(record.total for record in records)
    exchanges, passed, cpu_s = spent / steps
    return {
        "steps": sum(record.per_s for record in records),
        "exchanges": exchanges,
        "bytes": passed,
        "store": 1 / cpu_s,
    }


def _wait_until_ready(url: str) -> None:
    """Until its store has answered."""
    until = time.monotonic() + _DEADLINE_S
    while httpx2.get(f"{url}/readyz").status_code != 200:
        if time.monotonic() > until:
            raise RuntimeError(f"{url} is not ready")
        time.sleep(0.05)


async def _feed(fed: Sequence[tuple[str, Sequence[str]]], seconds: float) -> list[Record]:
    return await asyncio.gather(*(feed("shared", url, ids, seconds=seconds) for url, ids in fed))


@contextmanager
def _opened(store: str, folder: Path) -> Iterator[tuple[str, Sequence[RedisServer]]]:
    if store == CLUSTER:
        with RedisCluster(folder, append_only=False) as cluster:
            yield cluster.url, cluster.nodes
    else:
        with RedisServer(folder, append_only=False) as server:
            yield server.url, [server]


def _counters(nodes: Sequence[RedisServer]) -> NDArray[np.float64]:
    """Scripts that were run, bytes in and out, seconds of CPU, of all nodes together."""
    found = np.zeros(3)
    for node in nodes:
        with node.client() as client:
            info, commands = client.info(), client.info("commandstats")
        scripts = commands.get("cmdstat_evalsha", {}).get("calls", 0)
        passed = info["total_net_input_bytes"] + info["total_net_output_bytes"]
        found += scripts, passed, info["used_cpu_user"] + info["used_cpu_sys"]
    return found


def figures(rounds: dict[tuple[str, int], list[dict[str, float]]]) -> list[Figure]:
    """In groups by store."""
    units = {"steps": "events/s", "exchanges": "", "bytes": "bytes", "store": "events/s"}
    titles = {
        "steps": "steps",
        "exchanges": "scripts of the store a step",
        "bytes": "bytes to and from the store a step",
        "store": "steps that a core of the store has the time for",
    }
    return [
        plain(f"{store}, {replicas} replicas: {titles[name]}", [each[name] for each in found], units[name])
        for (store, replicas), found in rounds.items()
        for name in titles
    ]


if __name__ == "__main__":
    main()
