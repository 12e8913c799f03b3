"""Every metric: name, labels, unit and buckets. The names are those that token servers use.

Nothing else imports prometheus_client. The methods are plain calls with numbers, cheap enough
for the engine's thread and the event loop; what they count appears at ``GET /metrics``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

PREFIX = "rnnserve"

# Another series per metric that says when it began, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it is not annotated

# From 15 us, under which no run of a graph stays, doubling to about a minute.
SECONDS = tuple(15e-6 * 2.0**power for power in range(23))
# One row to the largest batch anybody sets.
ROWS = tuple(2.0**power for power in range(13))
STEPS = tuple(2.0**power for power in range(17))


class Times(Protocol):
    """Where a request's time went, in seconds; see ``app.service.Timing``."""

    @property
    def queue_s(self) -> float: ...  # noqa: D102  documented there
    @property
    def compute_s(self) -> float: ...  # noqa: D102
    @property
    def total_s(self) -> float: ...  # noqa: D102


class Tick(Protocol):
    """What the engine reports after each tick; see ``app.engine.engine.TickStats``."""

    @property
    def batch(self) -> tuple[int, ...]: ...  # noqa: D102  documented there
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def slots_used(self) -> int: ...  # noqa: D102


class Load(Protocol):
    """What is queued, running included; see ``app.engine.engine.EngineLoad``."""

    @property
    def steps(self) -> int: ...  # noqa: D102  documented there
    @property
    def sequences(self) -> int: ...  # noqa: D102


class StoreCall(Protocol):
    """What the session store's worker reports; see ``app.sessions.worker.StoreStats``."""

    @property
    def operation(self) -> str: ...  # noqa: D102  documented there
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def ok(self) -> bool: ...  # noqa: D102


class Metrics:
    """All metrics of one process.

    Args:
        registry: where they are registered; a fresh one by default, so that tests and several
            applications in one process do not share counts.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        by_task = ("task", "model")
        self.requests = self._counter(
            "requests",
            "Requests that were parsed, by how they ended: ok, caller, capacity, server, cancelled",
            (*by_task, "outcome"),
        )
        self.queue_time = self._histogram(
            "request_queue_time_seconds", "From arrival to the first run", by_task, SECONDS
        )
        self.inference_time = self._histogram(
            "request_inference_time_seconds", "In runs of the graph", by_task, SECONDS
        )
        self.latency = self._histogram(
            "e2e_request_latency_seconds", "From arrival to the last of the answer", by_task, SECONDS
        )
        self.time_to_first_token = self._histogram(
            "time_to_first_token_seconds", "From arrival to the first token", ("model",), SECONDS
        )
        self.inter_token = self._histogram(
            "inter_token_latency_seconds",
            "Between tokens of a stream, averaged over a frame",
            ("model",),
            SECONDS,
        )
        self.batch_size = self._histogram("batch_size", "Rows in one run of the graph", ("model",), ROWS)
        self.tick_steps = self._histogram("tick_steps", "Rows times steps in one tick", ("model",), STEPS)
        self.tick_time = self._histogram("tick_seconds", "Runs of the graph in one tick", ("model",), SECONDS)
        self.steps = self._counter("steps", "Rows times steps that were run", ("model",))
        self.queue_steps = self._gauge("queue_steps", "Steps waiting to be run", ("model",))
        self.sequences = self._gauge("sequences", "Sequences that are queued or running", ("model",))
        self.slots_used = self._gauge("slots_used", "Sequences that hold a state row", ("model",))
        self.load_time = self._gauge("model_load_seconds", "To read and verify a bundle", ("model",))
        self.info = self._gauge("model_info", "One for each served model", ("model", "task", "cell"))
        self.engines_alive = self._gauge("engine_up", "Whether the model's engine thread runs", ("model",))
        self.sockets = self._gauge("websockets", "Open WebSockets", ())
        self.session_events = self._counter(
            "session_events",
            "What happened to sessions: created, forked, imported, exported, closed, expired, rewound, "
            "migrated, snapshot, replayed, conflict, quarantined, corrupt",
            ("event",),
        )
        self.stored_steps = self._counter("session_steps", "Steps that were stored", ("model",))
        self.sessions_live = self._gauge("sessions_live", "Live sessions in the store", ())
        self.store_up = self._gauge("session_store_up", "Whether the session store answers", ())
        self.store_time = self._histogram(
            "session_store_seconds", "One group in the session store", ("operation",), SECONDS
        )
        self.store_group = self._histogram(
            "session_store_group_size", "Sessions in one group", ("operation",), STEPS
        )
        self.store_failures = self._counter(
            "session_store_failures", "Groups that failed in the session store", ("operation",)
        )
        self.responses = self._counter("http_responses", "Answers by route and status", ("route", "status"))
        self._used: dict[str, int] = {}
        # Looking a child up by its labels costs as much as counting on it.
        self._outcome = lru_cache(maxsize=4096)(self.requests.labels)
        self._times = lru_cache(maxsize=1024)(self._find_times)
        self._response = lru_cache(maxsize=1024)(self.responses.labels)

    def _find_times(self, task: str, model: str) -> tuple[Histogram, Histogram, Histogram]:
        return (
            self.queue_time.labels(task, model),
            self.inference_time.labels(task, model),
            self.latency.labels(task, model),
        )

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, registry=self.registry, buckets=buckets)

    def request(self, task: str, model: str, outcome: str, timing: Times) -> None:
        """Count one request and where its time went."""
        self._outcome(task, model, outcome).inc()
        queue, compute, latency = self._times(task, model)
        queue.observe(timing.queue_s)
        compute.observe(timing.compute_s)
        latency.observe(timing.total_s)

    def first_token(self, model: str, seconds: float) -> None:
        """The first token of a generation came ``seconds`` after its submission."""
        self.time_to_first_token.labels(model).observe(seconds)

    def tokens(self, model: str, count: int, seconds: float) -> None:
        """``count`` tokens of one choice came together, ``seconds`` after the ones before."""
        self.inter_token.labels(model).observe(seconds / count)

    def tick_observer(self, model: str) -> Callable[[Tick], None]:
        """A callback for one engine; it runs on the engine's thread and takes a few microseconds."""
        batch, tick_steps = self.batch_size.labels(model), self.tick_steps.labels(model)
        seconds, steps = self.tick_time.labels(model), self.steps.labels(model)

        def observe(tick: Tick) -> None:
            for rows in tick.batch:
                batch.observe(rows)
            tick_steps.observe(tick.steps)
            seconds.observe(tick.seconds)
            steps.inc(tick.steps)
            self._used[model] = tick.slots_used

        return observe

    def model_loaded(self, model: str, task: str, cell: str, seconds: float) -> None:
        """A bundle was read and verified."""
        self.info.labels(model, task, cell).set(1)
        self.load_time.labels(model).set(seconds)

    def watch_engine(self, model: str, alive: Callable[[], bool], load: Callable[[], Load]) -> None:
        """Report a model's engine as it is at each scrape."""
        self.engines_alive.labels(model).set_function(lambda: float(alive()))
        self.queue_steps.labels(model).set_function(lambda: load().steps)
        self.sequences.labels(model).set_function(lambda: load().sequences)
        # An engine whose last sequences were cancelled has no further tick to report it.
        self.slots_used.labels(model).set_function(lambda: min(self._used.get(model, 0), load().sequences))

    def session(self, event: str, count: int = 1) -> None:
        """Something happened to ``count`` sessions."""
        if count:
            self.session_events.labels(event).inc(count)

    def session_steps(self, model: str, count: int) -> None:
        """Steps were applied and stored."""
        self.stored_steps.labels(model).inc(count)

    def store_call(self, call: StoreCall) -> None:
        """One call of the session store; on the store's thread."""
        self.store_time.labels(call.operation).observe(call.seconds)
        self.store_group.labels(call.operation).observe(call.size)
        if not call.ok:
            self.store_failures.labels(call.operation).inc()

    def watch_store(self, healthy: Callable[[], bool]) -> None:
        """Report, at each scrape, whether the session store answers."""
        self.store_up.set_function(lambda: float(healthy()))

    def response(self, route: str, status: int) -> None:
        """Count one HTTP answer. ``route`` is the path template, never the path itself."""
        self._response(route, status).inc()

    def exposition(self) -> tuple[bytes, str]:
        """The text that Prometheus scrapes, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
