"""Engines around an executor that adds, closed at the end of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.engine.engine import Engine
from app.engine.load import QueueLimits
from app.engine.scheduler import SchedulerLimits
from tests.engine.driving import StartEngine
from tests.fakes import SumExecutor


@pytest.fixture
async def start() -> AsyncIterator[StartEngine]:
    """Starts engines that are closed at the end."""
    engines: list[Engine] = []

    def begin(executor: SumExecutor, queue: QueueLimits = QueueLimits(), **options: object) -> Engine:
        limits = options.pop("limits", SchedulerLimits(num_slots=8))
        engine = Engine("sum", executor, limits, queue, **options)  # type: ignore[arg-type]  # options of the test
        engine.start(asyncio.get_running_loop())
        engines.append(engine)
        return engine

    yield begin
    for engine in engines:
        engine.close()
