"""Searches through what stands before an engine: the count of a key's steps, and spans."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.access.metering import MeteredSubmitter
from app.access.principal import CURRENT
from app.core.beam import BeamRequest, BeamResult
from app.core.errors import RateLimited
from app.core.sequence import Usage
from app.telemetry.traced import TracedEngine

REQUEST = BeamRequest(np.array([4, 5, 6]), width=4, max_tokens=10)


class Inner:
    """Takes searches, and answers none by itself."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[BeamResult]] = []

    def submit_beam(self, request: BeamRequest, deadline: float) -> asyncio.Future[BeamResult]:
        """A future for the test to set."""
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]


async def test_a_search_counts_as_the_most_steps_that_it_can_take() -> None:
    """Two of the prefix, and ten for each of four beams; beyond a rate it is refused."""
    taken: list[int] = []

    def take_steps(steps: int) -> None:
        if taken:
            raise RateLimited("too many steps", retry_after_s=1)
        taken.append(steps)

    inner: Any = Inner()
    holder: Any = SimpleNamespace(counts_steps=True, take_steps=take_steps)
    token = CURRENT.set(holder)
    try:
        MeteredSubmitter(inner).submit_beam(REQUEST, 1.0)
        with pytest.raises(RateLimited):
            MeteredSubmitter(inner).submit_beam(REQUEST, 1.0)
    finally:
        CURRENT.reset(token)
    MeteredSubmitter(inner).submit_beam(REQUEST, 1.0)
    assert taken == [42]
    assert len(inner.futures) == 2


async def test_a_search_leaves_a_span_of_what_it_cost() -> None:
    """When it ends, and when it is given up."""
    inner: Any = Inner()
    spans: list[tuple[float, dict[str, Any]]] = []
    tracing: Any = SimpleNamespace(
        prepared=lambda began: None,
        ran=lambda began, queue_s, attributes: spans.append((queue_s, attributes)),
    )
    engine = TracedEngine(tracing, inner, "model@1")
    futures = [engine.submit_beam(REQUEST, 1.0) for _ in range(2)]
    inner.futures[0].set_result(BeamResult([], Usage(queue_s=0.5, compute_s=0.25, largest_batch=8)))
    futures[1].cancel()
    await asyncio.sleep(0)
    about = {"rnnserve.model": "model@1", "rnnserve.sequences": 1}
    assert spans == [
        (0.5, {**about, "rnnserve.largest_batch": 8, "rnnserve.run_seconds": 0.25}),
        (
            0.0,
            {**about, "rnnserve.cancelled": True, "rnnserve.largest_batch": 0, "rnnserve.run_seconds": 0.0},
        ),
    ]
