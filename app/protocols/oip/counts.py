"""What the inference requests on tensors came to, by model, as Triton's statistics extension counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.service.call import Timing


@dataclass(slots=True)
class Duration:
    """How often, and how long in all, in seconds."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count once more."""
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class ModelCounts:
    """Of one model version since it was first asked.

    Attributes:
        rows: answered; a request of a batch counts as many times as it has rows.
        last_at: end of the last request, in seconds since the epoch; 0 before the first.
        success: requests that were answered.
        fail: those that were not.
        queue: waiting for a first run, where it is known.
        compute: in runs of the network, where it is known.
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
        one = RequestCount()
        try:
            yield one
        except BaseException:
            self.fail.add(time.perf_counter() - started)
            raise
        else:
            self.success.add(time.perf_counter() - started)
            self.rows += one.rows
            if one.timing is not None:
                self.queue.add(one.timing.queue_s)
                self.compute.add(one.timing.compute_s)
        finally:
            self.last_at = time.time()


@dataclass(slots=True)
class RequestCount:
    """What is known of a request at its end."""

    rows: int = 0
    timing: Timing | None = None
