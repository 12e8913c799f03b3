"""Work that would hold the event loop for too long goes to a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LOOP_MS = 10.0
"""As long as the event loop may stand for one piece of work, in milliseconds."""


async def offloaded(milliseconds: float, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of ``work``, done here where it takes about so little time, else on a thread."""
    if milliseconds <= LOOP_MS:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
