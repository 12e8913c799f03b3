"""Work that may hang on somebody else's machine, on a thread that nobody waits for at the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


async def in_background(work: Callable[[], None], name: str) -> None:
    """Run blocking work on a thread of its own; raises what it raises.

    The event loop's own threads are waited for when the process ends; this one is not.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if ended.done():
            return  # whoever waited was cancelled
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    await ended
