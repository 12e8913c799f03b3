"""Many events of a session in flight at once, which the loops of `rnnserve_bench` do not do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import orjson
from websockets.asyncio.client import connect

from rnnserve_bench.record import Record


async def pipelined(url: str, ids: Sequence[str], depth: int, seconds: float, token: int = 5) -> Record:
    """``WS /sessions/{id}`` for each session, so many events in flight; more go when half are answered."""
    load = Record()
    started = time.perf_counter()
    until = started + seconds

    async def drive(id: str) -> None:
        async with connect(f"{url}/sessions/{id}", compression=None, max_size=None) as socket:
            seq = orjson.loads(await socket.recv())["next_seq"]
            sent: dict[int, float] = {}
            while time.perf_counter() < until:
                while len(sent) < depth:
                    sent[seq] = time.perf_counter()
                    await socket.send(orjson.dumps({"type": "step", "seq": seq, "inputs": [token]}).decode())
                    seq += 1
                while len(sent) > depth // 2:
                    frame = orjson.loads(await socket.recv())
                    now = time.perf_counter()
                    for result in frame["results"] if frame["type"] == "outputs" else [frame]:
                        load.latencies.append(now - sent.pop(result["seq"]))
                        load.answered += 1
                        load.total += 1

    await asyncio.gather(*(drive(id) for id in ids))
    load.seconds = time.perf_counter() - started
    return load
