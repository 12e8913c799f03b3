"""Large bodies are read a few at a time: what is made of one takes many times its size, and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.errors import DeadlineExceeded, Overloaded
from app.core.memory import trimmer
from app.edge.http.transports import unfinished

LARGE_BYTES = 256 * 1024
_AT_ONCE = 2
_S_PER_VALUE = 1e-7


class LargeBodies:
    """Of a process; used on one event loop."""

    def __init__(self) -> None:
        self._held = 0
        self._free_at = 0.0
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def turn(self, num_bytes: int, timeout_s: float) -> AsyncIterator[None]:
        """In the block a body is unpacked and parsed; raises Overloaded, DeadlineExceeded."""
        if self._held + num_bytes > unfinished.limit:
            raise Overloaded("too many large bodies wait to be read; try again later")
        self._held += num_bytes
        try:
            await self._wait(timeout_s)
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._held -= num_bytes
            trimmer.soon()

    async def pace(self, num_values: int) -> None:
        """Return when so much may be parsed: behind each, others have their turn for as long as it takes."""
        now = time.monotonic()
        begins = max(now, self._free_at)
        self._free_at = begins + 2 * _S_PER_VALUE * num_values
        await asyncio.sleep(begins - now)

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            text = f"large bodies of others were not read within {timeout_s:g} seconds"
            raise DeadlineExceeded(text) from None
