"""The scenarios: options in, units on open connections out, a record at the end."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import orjson

from app.bench.loops import ClosedLoop, Loop, OpenLoop, Unit, Window
from app.bench.options import BenchError, BenchOptions
from app.bench.record import Record
from app.bench.sessions import close_sessions, inputs_for, open_sessions
from app.bench.units import HttpUnit

if TYPE_CHECKING:
    from app.bench.streams import StreamUnit

_AT_ONCE = 64
_NUM_SERIES = 16


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """End it."""
        ...


async def run_scenario(options: BenchOptions) -> Record:
    """Open connections, run the load, close them; sessions made for it are ended.

    Raises:
        BenchError: the server cannot be reached, or refuses what the load needs.
    """
    try:
        if options.scenario == "sessions":
            return await _sessions(options)
        if options.scenario == "generate":
            texts = await _texts(options)
            return await _load(options, texts, texts, any_unit=True)
        units = await _forecasts(options)
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
    # A pause of the collector here would look like one of the server.
    gc.collect()
    gc.disable()
    try:
        return await loop.run()
    finally:
        gc.enable()
        for line in lines:
            line.close()


async def _forecasts(options: BenchOptions) -> list[HttpUnit]:
    chance = random.Random(options.seed)
    model = {} if options.model is None else {"model": options.model}
    bodies = []
    for _ in range(_NUM_SERIES):
        level, height = chance.uniform(50, 500), chance.uniform(5, 40)
        values = [
            round(level + height * math.sin(math.tau * hour / 24) + chance.gauss(0, height / 5), 2)
            for hour in range(options.points)
        ]
        bodies.append(orjson.dumps({**model, "values": values, "freq": "h", "horizon": options.horizon}))

    def make(number: int) -> bytes:
        return bodies[number % _NUM_SERIES]

    def judge(body: bytes) -> str | None:
        return None if b'"forecasts"' in body else "the answer is no forecast"

    units = [HttpUnit(options.url, "/forecast", make, judge, options.headers) for _ in range(options.clients)]
    await in_groups([unit.open for unit in units])
    return units


async def _texts(options: BenchOptions) -> Sequence[StreamUnit]:
    from app.bench.streams import EventStreamUnit, StreamUnit

    asked: dict[str, object] = {"max_tokens": options.tokens, "temperature": 1.0, "stream": True}
    if options.model is not None:
        asked["model"] = options.model

    def maker(client: int) -> Callable[[int], bytes]:
        return lambda number: orjson.dumps({**asked, "seed": options.seed + client * 1_000_003 + number})

    if options.carried == "http":
        events = [
            EventStreamUnit(options.url, "/generate", maker(client), options.headers)
            for client in range(options.clients)
        ]
        await in_groups([unit.connect for unit in events])
        return events
    sockets = [StreamUnit(maker(client)) for client in range(options.clients)]
    address = f"{options.url.rstrip('/')}/generate"
    await in_groups([partial(unit.open, address, options.headers) for unit in sockets])
    return sockets


async def _sessions(options: BenchOptions) -> Record:
    mark = secrets.token_hex(4)
    ids = [f"bench-{mark}-{index}" for index in range(options.clients)]
    body = {"task": options.task} if options.model is None else {"model": options.model}
    try:
        await open_sessions(options.url, ids, body, options.headers)
        units, lines = await connect_sessions(options.url, ids, options.carried, options)
        return await _load(options, units, lines, any_unit=False)
    finally:
        await close_sessions(options.url, ids, options.headers)


async def connect_sessions(
    url: str, ids: Sequence[str], way: str, options: BenchOptions
) -> tuple[Sequence[Unit], Sequence[Closable]]:
    """Units for sessions that exist and are at step 0, and the connections to close afterwards."""
    task, headers, base = options.task, options.headers, url.rstrip("/")
    if way == "shared":
        from app.bench.shared import SharedLine, SharedUnit

        lines = [SharedLine(lambda number: inputs_for(task, number)) for _ in range(options.connections)]
        for line in lines:
            await line.open(f"{base}/sessions", headers)
        return [SharedUnit(lines[index % len(lines)], id) for index, id in enumerate(ids)], lines
    if way == "socket":
        from app.bench.socket_units import SocketUnit

        sockets = [
            SocketUnit(
                lambda number: b'{"type":"step","seq":%d,"inputs":%b}' % (number, inputs_for(task, number)),
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
            url,
            f"/sessions/{id}/steps",
            lambda number: b'{"seq":%d,"inputs":%b}' % (number, inputs_for(task, number)),
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
