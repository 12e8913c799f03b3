"""What tests of the engine do again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np

from app.core.ports import Ticket
from app.core.sequence import Event, Failed, Finished
from app.engine.engine import Engine
from app.engine.load import EngineLoad

StartEngine = Callable[..., Engine]

EMPTY = EngineLoad(0, 0)


def numbers(*values: float) -> np.ndarray:
    """Steps."""
    return np.array(values, np.float32)


def soon(seconds: float = 10.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds


async def drain(ticket: Ticket, num: int = 1) -> list[tuple[int, Event]]:
    """All events until each of ``num`` sequences has had its terminal one."""
    seen: list[tuple[int, Event]] = []
    while sum(isinstance(event, Finished | Failed) for _, event in seen) < num:
        seen += await ticket.events()
    return seen


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until something holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def idle(engine: Engine) -> None:
    """Wait until nothing is booked."""
    await until(lambda: engine.load() == EMPTY)
