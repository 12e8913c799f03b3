"""An event loop in a thread of its own, for code that has none, or that runs in a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class LoopThread:
    """Runs coroutines for any number of threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rnnserve-client", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Until it is stopped."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Its result; what interrupts the wait, such as Ctrl-C, cancels it.

        Raises:
            RuntimeError: the loop was stopped before.
        """
        if not self.running:
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[ResultT]) -> Iterator[ResultT]:
        """The items, each when it is asked for. Whoever leaves early closes what they come from."""
        try:
            while (item := self.run(_next(items))) is not None:
                yield item
        finally:
            if isinstance(items, AsyncGenerator) and self.running:
                self.run(_close(items))

    def stop(self) -> None:
        """Close what is left open, and end the thread."""
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(items: AsyncIterator[ResultT]) -> ResultT | None:
    return await anext(items, None)


async def _close(items: AsyncGenerator[Any, Any]) -> None:
    await items.aclose()
