"""What the inference requests on tensors came to, by model, as Triton's statistics extension counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.service.call import Timing


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
        seconds: by ``success``, ``fail``, ``queue`` and ``compute_infer``, how long in all.
        counts: likewise, of how many requests.
    """

    rows: int = 0
    last_at: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def request(self) -> Iterator[RequestCount]:
        """Count one request by how its block ends."""
        started = time.perf_counter()
        request, outcome = RequestCount(), "fail"
        try:
            yield request
            outcome = "success"
            self.rows += request.rows
            if request.timing is not None:
                self._add("queue", request.timing.queue_s)
                self._add("compute_infer", request.timing.compute_s)
        finally:
            self._add(outcome, time.perf_counter() - started)
            self.last_at = time.time()

    def _add(self, name: str, seconds: float) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
