"""A million idle sessions on one machine: what they cost those that are active.

    python -m benchmarks.sessions [--sessions 1000000] [--active 64] [--seconds 8]

A two-layer LSTM of 256 in the default LMDB store. Floors of the same run: the raw store (LMDB
puts and gets of records of the same size) and the raw ONNX Runtime loop (the same steps in
batches of the active sessions, without a server).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import lmdb
import numpy as np

from app.bundle.manifest import GRAPH_FILE
from app.bundle.reader import Bundle, read_bundle
from app.runtime.session import GraphSession
from app.sessions.record import LastCall, SessionRecord, encode_record
from app.sessions.stores import open_store
from app.sessions.stores.store import Stored, Write
from benchmarks import bundle
from benchmarks.report import Figure, publish
from benchmarks.server import Server
from benchmarks.stateful_load import feed
from rnnserve_bench.record import Record

_GROUP = 1000
_CALLS = 400


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--active", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--folder", type=Path, help="where the store goes; needs about 8 KB a session")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        measure(place, options.sessions, options.active, options.seconds)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(place: Path, num_idle: int, num_active: int, seconds: float) -> None:
    """Run all parts in order."""
    loaded = read_bundle(bundle.write_bundle(place / "models"))
    active = [f"active-{index}" for index in range(num_active)]
    url = f"lmdb:{place / 'state'}"
    flags = {"sessions": url, "max_sessions": 2 * num_idle + 10_000, "log_level": "warning"}
    figures: list[Figure] = []
    raw_steps = raw_loop(loaded, num_active)
    raw_put, raw_get = raw_store(place / "raw", sample_record(loaded, "raw"))

    with Server(place / "models", **flags) as server:
        rates = asyncio.run(operation_rates(server.url))
        asyncio.run(create(server.url, active))
        empty = asyncio.run(feed("socket", server.url, active, seconds=seconds))
        others = fresh(server.url, "shared-a", num_active)
        empty_shared = asyncio.run(feed("shared", server.url, others, seconds=seconds))
        cold_s, empty_rss = server.ready_s, server.rss_mb()

    started = time.perf_counter()
    fill(url, loaded, num_idle)
    fill_s = time.perf_counter() - started
    stored_bytes = sum(path.stat().st_blocks * 512 for path in (place / "state").rglob("*") if path.is_file())

    with Server(place / "models", **flags) as server:
        full = asyncio.run(feed("socket", server.url, active, seconds=seconds))
        others = fresh(server.url, "shared-b", num_active)
        full_shared = asyncio.run(feed("shared", server.url, others, seconds=seconds))
        full_rates = asyncio.run(operation_rates(server.url, prefix="later"))
        restart_s, full_rss = server.ready_s, server.rss_mb()

    figures += latency_figures("one socket each", empty, full)
    figures += latency_figures("four shared sockets", empty_shared, full_shared)
    for kind, load in (("one socket each", full), ("four shared sockets", full_shared)):
        rate = load.per_s
        figures.append(Figure(f"events, {kind}, all idle", rate, "events/s", rate / raw_steps, "raw loop"))
    for name, rate in full_rates.items():
        floor = raw_get if name in ("view", "export") else raw_put
        figures.append(Figure(f"{name}, 32 at once", rate, "calls/s", rate / rates[name], "none idle"))
        figures.append(Figure(f"{name} against the raw store", rate, "calls/s", rate / floor, "raw LMDB"))
    record = len(sample_record(loaded, "raw"))
    filled, on_disk = num_idle / fill_s, stored_bytes / num_idle
    figures += [
        Figure("filling through the store", filled, "sessions/s", filled / raw_put, "raw LMDB"),
        Figure("bytes on disk per idle session", on_disk, "bytes", on_disk / record, "record"),
        Figure("memory of the server per idle session", (full_rss - empty_rss) * 1e6 / num_idle, "bytes"),
        Figure("memory of the server with all idle", full_rss, "MB"),
        Figure("restart to ready with all idle", restart_s, "s", restart_s / cold_s, "none idle"),
        Figure("raw ONNX Runtime loop, same batch", raw_steps, "steps/s"),
        Figure("raw LMDB, put in groups", raw_put, "puts/s"),
        Figure("raw LMDB, get", raw_get, "gets/s"),
    ]
    publish("sessions", figures, {"sessions": num_idle, "active": num_active, "record_bytes": record})


def latency_figures(kind: str, empty: Record, full: Record) -> list[Figure]:
    """Median and 99th percentile with all idle sessions there, against none."""
    return [
        Figure(
            f"step latency p{percent}, {kind}",
            full.percentile(percent) * 1e3,
            "ms",
            full.percentile(percent) / empty.percentile(percent),
            "with none idle",
            most=1.5 if percent == 50 else None,
        )
        for percent in (50, 99)
    ]


def sample_record(loaded: Bundle, id: str) -> bytes:
    """A session's record as it is after a step."""
    return encode_record(idle_record(loaded, id, np.random.default_rng(1)))


def idle_record(loaded: Bundle, id: str, chance: np.random.Generator) -> SessionRecord:
    """A session that has been used and is idle."""
    manifest = loaded.manifest
    now = time.time()
    answer = b'{"seq":41,"step":41,"outputs":[{"token":"a","id":40,"logprob":-4.1234}]}'
    return SessionRecord(
        id=id,
        model=manifest.reference,
        graph=manifest.files[GRAPH_FILE],
        revision=42,
        step=41,
        created_at=now,
        updated_at=now,
        ttl_s=86_400.0,
        row=chance.standard_normal(manifest.row.size, np.float32),
        last=chance.standard_normal(manifest.graph.outputs[0].shape, np.float32),
        call=LastCall(41, "0" * 32, answer),
        origin={},
    )


def fill(url: str, loaded: Bundle, num: int) -> None:
    """Put idle sessions into the store, as the server would."""
    store = open_store(url, max_sessions=2 * num + 10_000)
    chance = np.random.default_rng(0)
    try:
        for first in range(0, num, _GROUP):
            writes = []
            for index in range(first, min(first + _GROUP, num)):
                record = idle_record(loaded, f"idle-{index:08}", chance)
                stored = Stored(record.revision, record.expires_at, encode_record(record))
                writes.append(Write(record.id, 0, stored))
            if not all(outcome.ok for outcome in store.write(writes)):
                raise RuntimeError("the store refused an idle session")
    finally:
        store.close()


def raw_loop(loaded: Bundle, batch: int) -> float:
    """Steps a second of the bare graph at this batch, median of runs."""
    session = GraphSession(loaded.graph, loaded.manifest)
    rows = np.repeat(loaded.start[None], batch, axis=0)
    tokens = np.full((batch, 1), 5, np.int64)
    times = []
    for _ in range(300):
        started = time.perf_counter()
        _, rows = session.run(tokens, rows, 0)
        times.append(time.perf_counter() - started)
    return batch / float(np.median(times))


def raw_store(folder: Path, record: bytes) -> tuple[float, float]:
    """Puts a second in groups, and gets a second, of records of this size in bare LMDB."""
    folder.mkdir()
    with lmdb.open(str(folder), map_size=2**32, sync=False) as environment:
        started = time.perf_counter()
        for first in range(0, 50_000, _GROUP):
            with environment.begin(write=True) as transaction:
                for index in range(first, first + _GROUP):
                    transaction.put(b"%08d" % index, record)
        put_s = time.perf_counter() - started
        order = np.random.default_rng(0).permutation(50_000)
        started = time.perf_counter()
        for index in order:
            with environment.begin() as transaction:
                transaction.get(b"%08d" % index)
        get_s = time.perf_counter() - started
    return 50_000 / put_s, 50_000 / get_s


async def create(url: str, ids: list[str]) -> None:
    """Open sessions."""
    async with httpx2.AsyncClient(timeout=60) as http:
        for id in ids:
            (await http.post(f"{url}/sessions", json={"model": bundle.NAME, "id": id})).raise_for_status()


def fresh(url: str, prefix: str, num: int) -> list[str]:
    """New sessions at step 0."""
    ids = [f"{prefix}-{index}" for index in range(num)]
    asyncio.run(create(url, ids))
    return ids


async def operation_rates(url: str, prefix: str = "first") -> dict[str, float]:
    """Calls a second of each operation, 32 at once."""
    rates: dict[str, float] = {}
    limits = httpx2.Limits(max_connections=32)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as http:
        ids = [f"{prefix}-{index}" for index in range(_CALLS)]
        base = f"{url}/sessions"
        model = {"model": bundle.NAME}
        calls: dict[str, Callable[[str], object]] = {
            "create": lambda id: http.post(base, json=model | {"id": id}),
            "step": lambda id: http.post(f"{base}/{id}/steps", json={"seq": 1, "inputs": [5]}),
            "view": lambda id: http.get(f"{base}/{id}"),
            "export": lambda id: http.get(f"{base}/{id}/state"),
            "fork": lambda id: http.post(f"{base}/{id}/fork", json={}),
        }
        for name, call in calls.items():
            started = time.perf_counter()
            answers = await asyncio.gather(*(call(id) for id in ids))  # type: ignore[call-overload]  # awaitables
            rates[name] = _CALLS / (time.perf_counter() - started)
            for answer in answers:
                answer.raise_for_status()
    return rates


if __name__ == "__main__":
    main()
