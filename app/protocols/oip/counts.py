"""What the inference requests on tensors came to, by model, as Triton's statistics extension counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.service.call import Timing


@dataclass(slots=True)
class Duration:
    """How often, and how long in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class RequestCount:
    """What is known of a request at its end."""

    rows: int = 0
    timing: Timing | None = None


@dataclass(slots=True)
class ModelCounts:
    """Of one model version since it was first asked.

    Attributes:
        rows: answered.
        last_at: end of the last request, in seconds since the epoch; 0 before the first.
        queue, compute: until a first run, and in runs; of requests of which it is known.
    """

    rows: int = 0
    last_at: float = 0.0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute: Duration = field(default_factory=Duration)

    @contextmanager
    def request(self) -> Iterator[RequestCount]:
        """Count one request by how its block ends."""
        started = time.perf_counter()
        request, outcome = RequestCount(), self.fail
        try:
            yield request
            outcome = self.success
            self.rows += request.rows
            if request.timing is not None:
                self.queue.add(request.timing.queue_s)
                self.compute.add(request.timing.compute_s)
        finally:
            outcome.add(time.perf_counter() - started)
            self.last_at = time.time()
