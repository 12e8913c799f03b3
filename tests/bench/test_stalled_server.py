"""A real connection to a server that stalls: the open loop shows it, a closed one hides it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rnnserve_bench.loops import ClosedLoop, OpenLoop, Window
from rnnserve_bench.record import Record
from rnnserve_bench.units import HttpUnit

STALL_S = 0.6
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def stalling_server(after: int) -> AsyncIterator[str]:
    """Answers at once, but after so many answers stands still once for ``STALL_S``."""
    answered = 0
    stall = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                async with stall:
                    answered += 1
                    if answered == after:
                        await asyncio.sleep(STALL_S)
                writer.write(_ANSWER)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def load(url: str, rate: float | None) -> Record:
    """Two connections for a second and a half, closed or open."""
    units = [HttpUnit(url, "/", lambda number: b"", lambda body: None) for _ in range(2)]
    for unit in units:
        await unit.open()
    window = Window(1.5)
    loop = ClosedLoop(units, window) if rate is None else OpenLoop(units, window, rate, any_unit=True)
    try:
        return await loop.run()
    finally:
        for unit in units:
            unit.close()


async def test_only_the_open_loop_shows_how_many_were_kept_waiting() -> None:
    """The closed loop counts its two requests in flight; the open one all that fell due in the stall."""
    async with stalling_server(after=20) as url:
        closed = await load(url, None)
    async with stalling_server(after=20) as url:
        opened = await load(url, 200.0)
    slow_closed, slow_open = (
        sum(latency > STALL_S / 2 for latency in record.latencies) for record in (closed, opened)
    )
    assert slow_closed == 2
    # 60 fall due in the first half of the stall; a busy machine may delay the generator, not the due times.
    assert slow_open > 30
    assert opened.percentile(99) > STALL_S / 2
