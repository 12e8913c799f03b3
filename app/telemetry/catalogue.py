"""Every metric: name, labels, unit, buckets, and how the gauges of several workers become one.

The names are those that token servers use, behind a prefix of our own, and those that only the
serving of states has. docs/observability.md holds the table made from this file, and says what
may change in it.

The metrics are prometheus_client's own, with their values in memory. Measured against counters and
histograms without locks, CPU time of one core: a plain request alone takes 10 us for its metrics instead
of 2, of 740 us in all (1.0 %); among 64 at once 6.5 instead of 1.4, of 273 (1.9 %); a session step
9 instead of 3, of 846 (0.7 %), and 3 instead of 1, of 202 (1.1 %). With values in the files of
prometheus_client's multi-process mode that request takes 22 us (2.7 %), and 14.5 among 64 (4.8 %).
That is too much, so workers write those files once a second: see ``app.telemetry.sharing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Mode = Literal["livesum", "livemin", "livemax", "livemostrecent"]
"""How the gauges of several workers become one: prometheus_client's multi-process modes."""

Labels = tuple[str, ...]

PREFIX = "rnnserve"

SECONDS = tuple(15e-6 * 2.0**power for power in range(23))
"""From 15 us, under which no run of a graph stays, doubling to about a minute."""
ROWS = tuple(2.0**power for power in range(13))
"""One row to the largest batch anybody sets."""
STEPS = tuple(2.0**power for power in range(17))

MODEL: Labels = ("model",)
BY_TASK: Labels = ("task", "model")


class Family(NamedTuple):
    metric: Counter | Gauge | Histogram
    labels: Labels


class Catalogue(Collector):
    """All families of one process, in the order in which they are shown.

    Attributes:
        modes: of the gauges, by name.
        untold: gauges without labels that nobody has set: no value is no zero.
        measure: updates what is measured only at a scrape.
    """

    def __init__(self) -> None:
        disable_created_metrics()
        self.families: list[Family] = []
        self.modes: dict[str, Mode] = {}
        self.untold: set[Gauge] = set()
        self.measure: Callable[[], None] = lambda: None
        self._requests()
        self._engines()
        self._http()
        self._sessions()
        self._process()

    def collect(self) -> Iterator[Metric]:
        self.measure()
        for metric, *_ in self.families:
            yield from metric.describe() if metric in self.untold else metric.collect()

    def describe(self) -> Iterator[Metric]:
        """All metrics without their numbers."""
        for metric, *_ in self.families:
            yield from metric.describe()

    def told(self, gauge: Gauge) -> Gauge:
        """A gauge without labels that is set, and so shown, from now on."""
        self.untold.discard(gauge)
        return gauge

    def _requests(self) -> None:
        self.requests = self._counter(
            "requests",
            "Requests that were parsed, by how they ended: ok, caller, capacity, server, cancelled",
            (*BY_TASK, "outcome"),
        )
        self.successes = self._counter(
            "request_success",
            "Sequences that ended well: stop, length, stopped (by the client) of a generation, else complete",
            ("model", "finished_reason"),
        )
        self.queue_time = self._histogram(
            "request_queue_time_seconds", "From arrival to the first run", BY_TASK
        )
        self.inference_time = self._histogram(
            "request_inference_time_seconds", "In runs of the graph", BY_TASK
        )
        self.latency = self._histogram(
            "e2e_request_latency_seconds", "From arrival to the last of the answer", BY_TASK
        )
        self.first_token = self._histogram(
            "time_to_first_token_seconds", "From arrival to the first token", MODEL
        )
        self.inter_token = self._histogram(
            "inter_token_latency_seconds",
            "Between tokens of one text; those of a frame share its time",
            MODEL,
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts", MODEL)
        self.generation_tokens = self._counter("generation_tokens", "Tokens produced", MODEL)
        self.request_prompt = self._histogram(
            "request_prompt_tokens", "Tokens of one request's prompt", MODEL, STEPS
        )
        self.request_generation = self._histogram(
            "request_generation_tokens", "Tokens one request produced, all its texts together", MODEL, STEPS
        )
        self.running = self._gauge(
            "num_requests_running", "Sequences that advance: series, texts, choices", MODEL
        )
        self.waiting = self._gauge("num_requests_waiting", "Sequences that wait for a slot", MODEL)

    def _engines(self) -> None:
        self.batch_size = self._histogram("batch_size", "Rows in one run of the graph", MODEL, ROWS)
        self.tick_steps = self._histogram("tick_steps", "Rows times steps in one tick", MODEL, STEPS)
        self.tick_time = self._histogram("tick_seconds", "Runs of the graph in one tick", MODEL)
        self.steps = self._counter("steps", "Rows times steps that were run", MODEL)
        self.queue_steps = self._gauge("queue_steps", "Steps waiting to be run", MODEL)
        self.queue_limit = self._gauge("queue_steps_limit", "Steps that may wait before 503", MODEL)
        self.sequences = self._gauge("sequences", "Sequences that are queued or running", MODEL)
        self.slots_used = self._gauge("slots_used", "Sequences that hold a state row", MODEL)
        self.slots = self._gauge("slots", "State rows there are", MODEL)
        self.state_bytes = self._gauge("state_bytes", "Memory of the state rows", MODEL)
        self.engine_up = self._gauge("engine_up", "Whether the model's engine thread runs", MODEL, "livemin")
        self.info = self._gauge(
            "model_info", "One for each served model", ("model", "task", "cell"), "livemax"
        )
        self.load_time = self._gauge("model_load_seconds", "To read and verify a bundle", MODEL, "livemax")
        self.weights = self._gauge("model_weights_bytes", "The network's parameters, as float32", MODEL)
        self.model_events = self._counter(
            "model_events", "What happened to bundles: loaded, failed, switched, retired, evicted", ("event",)
        )
        self.models_in_memory = self._gauge(
            "models_in_memory", "Models that are in memory, of those that are loaded on demand", ()
        )
        self.models_memory = self._gauge("models_memory_bytes", "Memory that they take, about", ())
        self.models_memory_limit = self._gauge("models_memory_limit_bytes", "Memory that they may take", ())
        self.attended = self._gauge(
            "attended_bytes", "Memory of what encoders made of inputs, in use or kept", ()
        )
        self.attended_limit = self._gauge("attended_bytes_limit", "Memory that it may take", ())
        self.models_bad = self._gauge("models_bad", "Bundles that are not served: bad", (), "livemax")

    def _http(self) -> None:
        self.responses = self._counter("http_responses", "Answers by route and status", ("route", "status"))
        self.http_time = self._histogram(
            "http_request_duration_seconds", "From a request's head to the last of its answer", ("route",)
        )
        self.in_flight = self._gauge("http_requests_in_flight", "HTTP requests that are being answered", ())
        self.connections = self._gauge(
            "connections", "Open connections, handshakes and those that wait for a request included", ()
        )
        self.sockets = self._gauge("websockets", "Open WebSockets", ())
        self.refused = self._counter(
            "refused",
            "Requests not let in: unauthenticated, forbidden, request_rate, port (it is on another one)",
            ("reason",),
        )

    def _sessions(self) -> None:
        self.session_events = self._counter(
            "session_events",
            "What happened to sessions: created, forked, imported, exported, closed, expired, rewound, "
            "migrated, snapshot, replayed, conflict, quarantined, corrupt, lost (the store went back in "
            "time, and steps are gone or may be), refused (the store was full)",
            ("event",),
        )
        self.session_calls = self._counter(
            "session_calls", "Step calls, by how they ended: ok, caller, capacity, server", ("outcome",)
        )
        self.session_call_time = self._histogram(
            "session_call_seconds", "Of a step call, from reading the session to storing it", ()
        )
        self.stored_steps = self._counter("session_steps", "Steps that were stored", MODEL)
        # Every worker counts the same store, and lately is truest.
        self.sessions_live = self._gauge("sessions_live", "Live sessions in the store", (), "livemostrecent")
        self.sessions_limit = self._gauge("sessions_limit", "Live sessions the store takes", (), "livemax")
        self.store_up = self._gauge("session_store_up", "Whether the session store answers", (), "livemin")
        self.store_time = self._histogram(
            "session_store_seconds", "One group in the session store; write is the commit", ("operation",)
        )
        self.store_group = self._histogram(
            "session_store_group_size", "Sessions in one group", ("operation",), STEPS
        )
        self.store_failures = self._counter(
            "session_store_failures", "Groups that failed in the session store", ("operation",)
        )
        self.store_waiting = self._gauge(
            "session_store_waiting", "Sessions and calls that wait for the store or are in it", ()
        )
        self.store_skew = self._gauge(
            "session_store_clock_skew_seconds",
            "How far this machine's clock is ahead of the session store's",
            (),
            "livemostrecent",
        )
        self.store_disk = self._gauge(
            "session_store_disk_bytes", "Disk space of an LMDB store", (), "livemax"
        )

    def _process(self) -> None:
        self.resident = self._gauge("resident_memory_bytes", "Resident memory", (), prefix="process")
        self.virtual = self._gauge("virtual_memory_bytes", "Virtual memory", (), prefix="process")
        self.cpu = self._counter("cpu_seconds", "User and system CPU time", (), prefix="process")
        self.open_fds = self._gauge("open_fds", "Open file descriptors", (), "livemax", prefix="process")
        self.max_fds = self._gauge(
            "max_fds", "Open file descriptors allowed", (), "livemin", prefix="process"
        )
        self.start_time = self._gauge(
            "start_time_seconds", "Start of the oldest process, in Unix time", (), "livemin", prefix="process"
        )
        self.anonymous = self._gauge(
            "anonymous_memory_bytes",
            "Resident memory that no file backs: weights and tensors of ONNX Runtime, states, objects",
            (),
        )
        self.build = self._gauge("build_info", "One", ("version", "python"), "livemax")
        self.workers = self._gauge("workers", "Processes that serve the port", ())
        self.restarts = self._counter("worker_restarts", "Workers that died and were replaced", ())

    def _counter(self, name: str, text: str, labels: Labels, *, prefix: str = PREFIX) -> Counter:
        counter = Counter(f"{prefix}_{name}", text, labels, registry=None)
        self.families.append(Family(counter, labels))
        return counter

    def _gauge(
        self, name: str, text: str, labels: Labels, mode: Mode = "livesum", *, prefix: str = PREFIX
    ) -> Gauge:
        gauge = Gauge(f"{prefix}_{name}", text, labels, registry=None)
        self.families.append(Family(gauge, labels))
        self.modes[f"{prefix}_{name}"] = mode
        if not labels:
            self.untold.add(gauge)
        return gauge

    def _histogram(
        self, name: str, text: str, labels: Labels, bounds: tuple[float, ...] = SECONDS
    ) -> Histogram:
        histogram = Histogram(f"{PREFIX}_{name}", text, labels, registry=None, buckets=bounds)
        self.families.append(Family(histogram, labels))
        return histogram
