"""Closed-loop clients of sessions over WebSockets: the session is the unit.

Each session has one event in flight: the next is sent when the last was answered, and each
event's time is taken from its sending to its answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from websockets.asyncio.client import connect


@dataclass
class Load:
    """What a run saw: seconds of each event, and seconds of the whole."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def events_per_s(self) -> float:
        """Answered events a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds below which this share of the events stayed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def one_socket_each(url: str, ids: Sequence[str], seconds: float, token: int = 5) -> Load:
    """``WS /sessions/{id}`` for each session, one event in flight each."""
    load = Load()
    started = time.perf_counter()
    until = started + seconds

    async def drive(id: str) -> None:
        async with connect(f"{url}/sessions/{id}", compression=None) as socket:
            hello = orjson.loads(await socket.recv())
            seq = hello["next_seq"]
            while time.perf_counter() < until:
                sent = time.perf_counter()
                await socket.send(orjson.dumps({"type": "step", "seq": seq, "inputs": [token]}).decode())
                answer = orjson.loads(await socket.recv())
                load.latencies.append(time.perf_counter() - sent)
                if answer["type"] != "output":
                    raise RuntimeError(f"session {id}: {answer}")
                seq = answer["step"] + 1

    await asyncio.gather(*(drive(id) for id in ids))
    load.seconds = time.perf_counter() - started
    return load


async def shared_sockets(url: str, ids: Sequence[str], sockets: int, seconds: float, token: int = 5) -> Load:
    """``WS /sessions`` carrying many sessions each: a frame holds every event that is due."""
    load = Load()
    started = time.perf_counter()
    until = started + seconds

    async def drive(mine: Sequence[str]) -> None:
        async with connect(f"{url}/sessions", compression=None, max_size=None) as socket:
            due = dict.fromkeys(mine, 1)
            while time.perf_counter() < until:
                steps = [{"id": id, "seq": seq, "inputs": [token]} for id, seq in due.items()]
                sent = time.perf_counter()
                await socket.send(orjson.dumps({"type": "steps", "steps": steps}).decode())
                left = len(steps)
                while left:
                    frame = orjson.loads(await socket.recv())
                    results = frame["results"] if frame["type"] == "outputs" else [frame]
                    now = time.perf_counter()
                    for result in results:
                        if "step" not in result:
                            raise RuntimeError(str(result))
                        due[result["id"]] = result["step"] + 1
                        load.latencies.append(now - sent)
                    left -= len(results)

    await asyncio.gather(*(drive(ids[first::sockets]) for first in range(sockets)))
    load.seconds = time.perf_counter() - started
    return load


async def pipelined(url: str, ids: Sequence[str], depth: int, seconds: float, token: int = 5) -> Load:
    """``WS /sessions/{id}`` for each session, so many events in flight; more go when half are answered."""
    load = Load()
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

    await asyncio.gather(*(drive(id) for id in ids))
    load.seconds = time.perf_counter() - started
    return load
