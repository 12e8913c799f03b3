"""A thousand models in one server: loaded when they are needed, beside all of them loaded at the start.

    python -m benchmarks.many_models [--models 1000] [--room 100] [--seconds 15] [--connections 8]

Each model is the shipped forecaster under a name of its own. Asked one after the other, each model twice: its
first answer, which waits for the load, and a second one. Then a server with memory for ``--room`` of them is
asked by several connections at once: for any of them at random, and for a few that are used all the time,
with one request in twenty for any.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.forecast_work import BUNDLE
from benchmarks.report import Figure, plain, publish
from benchmarks.server import Server
from rnnserve_bench.record import percentile

BODY = {"values": [float(hour % 24) for hour in range(168)], "freq": "h", "horizon": 24}
ROOMY = 64 * 2**30
_HOT = 20
_RARE = 0.05
_LOADED = re.compile(r'rnnserve_model_load_seconds\{model="([^@]+)@[^}]*\} (\S+)')


class Asker:
    """One connection to a server."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)

    def forecast(self, model: str) -> float:
        """Seconds to the whole answer."""
        body = json.dumps(BODY | {"model": model})
        started = time.perf_counter()
        self._connection.request("POST", "/forecast", body, {"content-type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - started
        if response.status != 200:
            raise RuntimeError(answer.decode())
        return seconds

    def read(self, path: str) -> str:
        """What a path says."""
        self._connection.request("GET", path)
        return self._connection.getresponse().read().decode()


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--room", type=int, default=100, help="models that fit into the smaller memory")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load of several connections")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--idle-seconds", type=float, default=11.0, help="before threads are counted")
    options = parser.parse_args()
    names = [f"m{number:04d}" for number in range(options.models)]
    with tempfile.TemporaryDirectory() as place:
        models = Path(place)
        for name in names:
            copy_as(name, models)
        found = on_demand(models, names, options.idle_seconds)
        found += evicting(models, names, options)
        found += all_loaded(models, names)
    publish("many_models", found, {"options": vars(options), "bundle": str(BUNDLE.parent.name)})


def copy_as(name: str, models: Path) -> None:
    """The shipped forecaster under another name; all but the manifest is shared."""
    target = models / name / "1"
    target.mkdir(parents=True)
    manifest = json.loads((BUNDLE / "manifest.json").read_text())
    for file in manifest["files"]:
        os.symlink((BUNDLE / file).resolve(), target / file)
    (target / "manifest.json").write_text(json.dumps(manifest | {"name": name, "version": "1"}))


def serve(models: Path, **flags: object) -> Server:
    """Without sessions, and without a look at the folder while figures are taken."""
    return Server(models, sessions="off", models_poll_s=0, **flags)


def on_demand(models: Path, names: list[str], idle_s: float) -> list[Figure]:
    """Start, first and second answers, and what all of them take when they have been used."""
    group = "on demand"
    with serve(models, load="on-demand", models_memory_bytes=ROOMY, metrics_models=len(names)) as server:
        asker = Asker(server)
        found = [plain("start", [server.ready_s], "s", group=group)]
        found.append(plain("memory at the start", [empty := server.rss_mb()], "MB", group=group))
        cold = {name: asker.forecast(name) for name in names}
        warm = [asker.forecast(name) for name in names]
        loads = {name: float(value) for name, value in _LOADED.findall(asker.read("/metrics"))}
        beyond = sorted(cold[name] - loads[name] for name in names)
        found += latencies("first answer of a cold model", list(cold.values()), group)
        found.append(
            plain("of that beyond the load, p99", [1e3 * percentile(beyond, 99)], "ms", most=100, group=group)
        )
        found += latencies("answer of a loaded model", warm, group)
        each = (server.rss_mb() - empty) / len(names)
        found.append(plain("memory of one more model", [each], "MB", group=group))
        time.sleep(idle_s)
        found.append(plain("threads with all loaded and idle", [threads(server)], "", group=group))
    return found


def evicting(models: Path, names: list[str], options: argparse.Namespace) -> list[Figure]:
    """More models than there is room for, by several connections at once."""
    with serve(models, load="on-demand", models_memory_bytes=ROOMY) as server:
        asker = Asker(server)
        asker.forecast(names[0])
        (size,) = re.findall(r"^rnnserve_models_memory_bytes (\S+)", asker.read("/metrics"), re.MULTILINE)
    room = int(options.room * float(size))
    found: list[Figure] = []
    with serve(models, load="on-demand", models_memory_bytes=room) as server:
        asker = Asker(server)
        empty = server.rss_mb()
        chance = random.Random(1)

        def rarely() -> str:
            return chance.choice(names if chance.random() < _RARE else names[:_HOT])

        kinds: dict[str, Callable[[], str]] = {
            "any model": lambda: chance.choice(names),
            f"{_HOT} models, 5 % any": rarely,
        }
        for kind, choose in kinds.items():
            before = evictions(asker)
            seconds = load(server, choose, options)
            group = f"room for {options.room}, {options.connections} connections: {kind}"
            found.append(plain("answers", [len(seconds) / options.seconds], "/s", group=group))
            found += latencies("answer", seconds, group)
            evicted = (evictions(asker) - before) / options.seconds
            found.append(plain("evictions", [evicted], "/s", group=group))
            found.append(plain("memory above the start", [server.rss_mb() - empty], "MB", group=group))
        found.append(plain("that models may take", [room / 2**20], "MB", group=group))
    return found


def all_loaded(models: Path, names: list[str]) -> list[Figure]:
    """What it costs to load everything first."""
    group = "all loaded at the start"
    with serve(models) as server:
        asker = Asker(server)
        found = [plain("start", [server.ready_s], "s", group=group)]
        found.append(plain("memory at the start", [server.rss_mb()], "MB", group=group))
        for name in names:
            asker.forecast(name)
        found += latencies("answer of a loaded model", [asker.forecast(name) for name in names], group)
    return found


def load(server: Server, choose: Callable[[], str], options: argparse.Namespace) -> list[float]:
    """Seconds of each answer, of several connections for a while."""
    until = time.perf_counter() + options.seconds
    lock = threading.Lock()

    def ask() -> list[float]:
        asker, seconds = Asker(server), []
        while time.perf_counter() < until:
            with lock:
                model = choose()
            seconds.append(asker.forecast(model))
        return seconds

    with ThreadPoolExecutor(options.connections) as pool:
        asked = [pool.submit(ask) for _ in range(options.connections)]
    return [second for each in asked for second in each.result()]


def latencies(name: str, seconds: list[float], group: str) -> list[Figure]:
    """Median and 99th percentile."""
    ordered = sorted(seconds)
    return [
        plain(f"{name}, p{part}", [1e3 * percentile(ordered, part)], "ms", group=group) for part in (50, 99)
    ]


def evictions(asker: Asker) -> float:
    """Since the start."""
    (found,) = re.findall(r'events_total\{event="evicted"\} (\S+)', asker.read("/metrics"))
    return float(found)


def threads(server: Server) -> float:
    """Of the server's process."""
    return float(len(os.listdir(f"/proc/{server.process.pid}/task")))


if __name__ == "__main__":
    main()
