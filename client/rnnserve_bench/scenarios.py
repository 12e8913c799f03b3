"""The scenarios: options in, units on open connections out, a record at the end."""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import orjson

from rnnserve_bench.loops import ClosedLoop, Loop, OpenLoop, Unit, Window
from rnnserve_bench.options import BenchError, BenchOptions
from rnnserve_bench.record import Record
from rnnserve_bench.sessions import close_sessions, open_sessions
from rnnserve_bench.units import HttpUnit, Make

_AT_ONCE = 64
_NUM_BODIES = 64
"""Requests that are made beforehand, so that making them costs nothing in the run."""


class Closable(Protocol):
    """A connection."""

    def close(self) -> None: ...


async def run_scenario(options: BenchOptions) -> Record:
    """Open connections, run the load, close them; sessions made for it are ended.

    Raises:
        BenchError: the server cannot be reached, or refuses what the load needs.
    """
    try:
        if options.sessions:
            return await _sessions(options)
        units = await _requests(options) if options.load.produced is None else await _streams(options)
        return await _load(options, units, units, any_unit=True)
    except (OSError, TimeoutError) as error:
        raise BenchError(
            f"{options.url}: {error}" if str(error) else f"{options.url} did not answer"
        ) from error


async def in_groups(openings: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Connect, some at a time, so that the server's backlog is not overrun."""
    for first in range(0, len(openings), _AT_ONCE):
        await asyncio.gather(*(opening() for opening in openings[first : first + _AT_ONCE]))


async def _load(
    options: BenchOptions, units: Sequence[Unit], lines: Sequence[Closable], *, any_unit: bool
) -> Record:
    window = Window(options.seconds, options.warm_s)
    loop: Loop
    if options.rate is None:
        loop = ClosedLoop(units, window, options.max_events)
    else:
        loop = OpenLoop(
            units, window, options.rate, any_unit=any_unit, seed=options.seed, max_events=options.max_events
        )
    return await run_loop(loop, lines)


async def run_loop(loop: Loop, lines: Sequence[Closable]) -> Record:
    """Run a loop, then end its connections."""
    # A pause of the collector here would look like one of the server.
    gc.collect()
    gc.disable()
    try:
        return await loop.run()
    finally:
        gc.enable()
        for line in lines:
            line.close()


def _makers(options: BenchOptions) -> list[Make]:
    """For each client what makes its requests. At the same event all clients send different ones."""
    chance = random.Random(options.seed)
    added: dict[str, object] = {} if options.model is None else {"model": options.model}
    if options.load.produced is not None:
        added["stream"] = True
    bodies = [
        orjson.dumps({**options.load.body(chance, options.values), **added}) for _ in range(_NUM_BODIES)
    ]

    def maker(client: int) -> Make:
        return lambda number: bodies[(client + number) % _NUM_BODIES]

    return [maker(client) for client in range(options.clients)]


async def _requests(options: BenchOptions) -> Sequence[HttpUnit]:
    answered = options.load.answered

    def judge(body: bytes) -> str | None:
        return None if answered in body else f"the answer has no {answered.decode()}"

    units = [
        HttpUnit(options.url, f"/{options.task}", make, judge, options.headers) for make in _makers(options)
    ]
    await in_groups([unit.open for unit in units])
    return units


async def _streams(options: BenchOptions) -> Sequence[Unit]:
    from rnnserve_bench.streams import EventStreamUnit, StreamUnit

    produced = options.load.produced
    assert produced is not None
    if options.carried == "http":
        events = [
            EventStreamUnit(options.url, f"/{options.task}", make, produced, options.headers)
            for make in _makers(options)
        ]
        await in_groups([unit.connect for unit in events])
        return events
    sockets = [StreamUnit(make, produced) for make in _makers(options)]
    address = f"{options.url.rstrip('/')}/{options.task}"
    await in_groups([partial(unit.open, address, options.headers) for unit in sockets])
    return sockets


async def _sessions(options: BenchOptions) -> Record:
    mark = secrets.token_hex(4)
    ids = [f"bench-{mark}-{index}" for index in range(options.clients)]
    body = {"task": options.task} if options.model is None else {"model": options.model}
    try:
        await open_sessions(options.url, ids, body, options.headers)
        units, lines = await connect_sessions(ids, options)
        return await _load(options, units, lines, any_unit=False)
    finally:
        await close_sessions(options.url, ids, options.headers)


async def connect_sessions(
    ids: Sequence[str], options: BenchOptions
) -> tuple[Sequence[Unit], Sequence[Closable]]:
    """Units for sessions that exist and are at step 0, and the connections to close afterwards."""
    inputs, headers, base = options.load.inputs, options.headers, options.url.rstrip("/")
    if options.carried == "shared":
        from rnnserve_bench.shared import SharedLine, SharedUnit

        lines = [SharedLine(inputs) for _ in range(options.connections)]
        for line in lines:
            await line.open(f"{base}/sessions", headers)
        return [SharedUnit(lines[index % len(lines)], id) for index, id in enumerate(ids)], lines
    if options.carried == "socket":
        from rnnserve_bench.socket_units import SocketUnit

        sockets = [
            SocketUnit(
                lambda number: b'{"type":"step","seq":%d,"inputs":%b}' % (number, inputs(number)),
                output_frame,
            )
            for _ in ids
        ]
        await in_groups(
            [
                partial(unit.open, f"{base}/sessions/{id}", headers, greeted=True)
                for unit, id in zip(sockets, ids, strict=True)
            ]
        )
        return sockets, sockets
    posts = [
        HttpUnit(
            options.url,
            f"/sessions/{id}/steps",
            lambda number: b'{"seq":%d,"inputs":%b}' % (number, inputs(number)),
            lambda body: None if b'"outputs"' in body else "the answer has no outputs",
            headers,
        )
        for id in ids
    ]
    await in_groups([post.open for post in posts])
    return posts, posts


def output_frame(payload: bytes) -> str | None:
    """What is wrong with the answer to a step frame."""
    frame = orjson.loads(payload)
    return None if frame["type"] == "output" else str(frame.get("problem", frame["type"]))
