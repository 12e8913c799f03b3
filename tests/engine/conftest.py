"""Engines around an executor, closed at the end of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from app.core.ports import Executor
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from tests.engine.driving import StartEngine


@pytest.fixture
async def engines() -> AsyncIterator[list[Engine]]:
    """Those that were started."""
    started: list[Engine] = []
    yield started
    for engine in started:
        engine.close()


@pytest.fixture(params=["thread", "loop"])
def start(request: pytest.FixtureRequest, engines: list[Engine]) -> StartEngine:
    """Starts engines that turn on a thread of their own, and in another run of the test on the event loop."""
    return partial(_begin, engines, on_loop=request.param == "loop")


@pytest.fixture
def start_thread(engines: list[Engine]) -> StartEngine:
    """Starts engines on threads: for runs that the test itself lets go on, which would hold up its loop."""
    return partial(_begin, engines, on_loop=False)


def _begin(
    engines: list[Engine],
    executor: Executor,
    queue: QueueLimits = QueueLimits(),
    *,
    on_loop: bool,
    **options: Any,
) -> Engine:
    limits = options.pop("limits", SchedulerLimits(num_slots=8))
    engine = Engine("sum", executor, limits, queue, on_loop=on_loop, **options)
    engine.start(asyncio.get_running_loop())
    engines.append(engine)
    return engine
