"""What the layers report, put into the catalogue's numbers, and the text that a scrape gets.

The methods are plain calls with numbers, which any thread may make: the event loop, an engine, the
session store. Nothing outside this package imports prometheus_client.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial

from prometheus_client import Counter, Gauge, Histogram, generate_latest

from app.engine.load import EngineLoad, TickStats
from app.service.call import Timing
from app.sessions.stores.worker import StoreStats
from app.telemetry.catalogue import MODEL, Catalogue
from app.telemetry.process import watch_process
from app.telemetry.sharing import Share

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = ("ok", "caller", "capacity", "server")
SESSION_EVENTS = (
    *("created", "forked", "imported", "exported", "closed", "expired", "rewound", "migrated"),
    *("snapshot", "replayed", "conflict", "quarantined", "corrupt", "lost", "refused"),
)
MODEL_EVENTS = ("loaded", "failed", "switched", "retired")
OTHER = "other"
"""Label of the models that have none of their own; no model's reference, which has a version."""
REFUSALS = ("unauthenticated", "forbidden", "request_rate", "port")


class ModelLabels(dict[str, str]):
    """Models to the labels that they are counted under: ``most`` have their own, the others share one."""

    def __init__(self, most: int | None) -> None:
        super().__init__({name: name for name in ("default", "unknown")})
        self._most = most
        self._num_own = 0

    def __missing__(self, model: str) -> str:
        own = self._most is None or self._num_own < self._most
        self._num_own += own
        self[model] = model if own else OTHER
        return self[model]


class Metrics:
    """All metrics of one application: several in one process do not share counts.

    Counts for :class:`app.service.call.RequestObserver`, :class:`app.sessions.access.SessionObserver` and
    :class:`app.registry.ports.ModelMetrics`, which say what the methods mean.
    """

    def __init__(self, share: Share | None = None, version: str = "0", max_models: int | None = None) -> None:
        self.catalogue = Catalogue()
        self._share = share
        all_ = self.catalogue
        watch_process(all_)
        all_.build.labels(version, platform.python_version()).set(1)
        all_.told(all_.workers).set(1)
        self.sockets = all_.told(all_.sockets)
        self.in_flight = all_.told(all_.in_flight)
        self._slots_used: dict[str, int] = {}
        self._label = ModelLabels(max_models)
        self._engines: dict[str, dict[str, dict[Gauge, Callable[[], float]]]] = {}
        # A rate needs the zero that was before the first event.
        for event in MODEL_EVENTS:
            all_.model_events.labels(event)
        for reason in REFUSALS:
            all_.refused.labels(reason)
        # Finding a child by its labels costs more than counting on it.
        self._counter = lru_cache(maxsize=4096)(Counter.labels)
        self._histogram = lru_cache(maxsize=4096)(Histogram.labels)

    def request(self, task: str, model: str, outcome: str, timing: Timing) -> None:
        all_, model = self.catalogue, self._label[model]
        self._counter(all_.requests, task, model, outcome).inc()
        self._histogram(all_.queue_time, task, model).observe(timing.queue_s)
        self._histogram(all_.inference_time, task, model).observe(timing.compute_s)
        self._histogram(all_.latency, task, model).observe(timing.total_s)

    def ended(self, model: str, reason: str, count: int = 1) -> None:
        self._counter(self.catalogue.successes, self._label[model], reason).inc(count)

    def first_token(self, model: str, seconds: float) -> None:
        self._histogram(self.catalogue.first_token, self._label[model]).observe(seconds)

    def tokens(self, model: str, count: int, seconds: float) -> None:
        observe_many(self._histogram(self.catalogue.inter_token, self._label[model]), seconds / count, count)

    def generated(self, model: str, count: int) -> None:
        self._counter(self.catalogue.generation_tokens, self._label[model]).inc(count)

    def text(self, model: str, prompt: int, produced: int | None) -> None:
        all_, model = self.catalogue, self._label[model]
        self._counter(all_.prompt_tokens, model).inc(prompt)
        self._histogram(all_.request_prompt, model).observe(prompt)
        produced_tokens = self._histogram(all_.request_generation, model)
        if produced is not None:
            produced_tokens.observe(produced)

    def tick_observer(self, model: str) -> Callable[[TickStats], None]:
        """A callback for one engine, on the engine's thread."""
        all_, label = self.catalogue, self._label[model]
        batch, tick_steps = all_.batch_size.labels(label), all_.tick_steps.labels(label)
        seconds, steps = all_.tick_time.labels(label), all_.steps.labels(label)

        def observe(tick: TickStats) -> None:
            for rows in tick.batch:
                batch.observe(rows)
            tick_steps.observe(tick.steps)
            seconds.observe(tick.seconds)
            steps.inc(tick.steps)
            self._slots_used[model] = tick.slots_used

        return observe

    def model_loaded(
        self,
        model: str,
        task: str,
        cell: str,
        seconds: float,
        *,
        parameters: int = 0,
        generates: bool = False,
    ) -> None:
        all_, model = self.catalogue, self._label[model]
        all_.info.labels(model, task, cell).set(1)
        if model is not OTHER:
            all_.load_time.labels(model).set(seconds)
            all_.weights.labels(model).set(4 * parameters)
        for outcome in (*OUTCOMES, "cancelled"):
            all_.requests.labels(task, model, outcome)
        for times in (all_.queue_time, all_.inference_time, all_.latency):
            times.labels(task, model)
        all_.stored_steps.labels(model)
        if generates:
            for family in (all_.first_token, all_.inter_token, all_.request_prompt, all_.request_generation):
                family.labels(model)
            for counter in (all_.generation_tokens, all_.prompt_tokens):
                counter.labels(model)
        self.model_event("loaded")

    def model_event(self, event: str) -> None:
        self.catalogue.model_events.labels(event).inc()

    def bad_models(self, count: int) -> None:
        self.catalogue.told(self.catalogue.models_bad).set(count)

    def watch_memory(self, count: Callable[[], int], used: Callable[[], int], limit: int) -> None:
        all_ = self.catalogue
        all_.told(all_.models_in_memory).set_function(count)
        all_.told(all_.models_memory).set_function(used)
        all_.told(all_.models_memory_limit).set(limit)
        all_.model_events.labels("evicted")

    def watch_attended(self, held: Callable[[], int], limit: int) -> None:
        """Report the memory of what encoders made of inputs, and what it may be."""
        self.catalogue.told(self.catalogue.attended).set_function(held)
        self.catalogue.told(self.catalogue.attended_limit).set(limit)

    def watch_engine(
        self,
        model: str,
        alive: Callable[[], bool],
        load: Callable[[], EngineLoad],
        *,
        slots: int = 0,
        row_bytes: int = 0,
        max_steps: int = 0,
    ) -> None:
        """Report a model's engine as it is at each scrape; a state row has ``row_bytes``."""

        def used() -> int:
            # An engine whose last sequences were cancelled has no further tick to report it.
            return min(self._slots_used.get(model, 0), load().sequences)

        all_, label = self.catalogue, self._label[model]
        engines = self._engines.setdefault(label, {})
        engines[model] = {
            all_.engine_up: alive,
            all_.queue_steps: lambda: load().steps,
            all_.sequences: lambda: load().sequences,
            all_.slots_used: used,
            all_.running: used,
            all_.waiting: lambda: load().sequences - used(),
            all_.slots: lambda: slots,
            all_.state_bytes: lambda: slots * row_bytes,
            all_.queue_limit: lambda: max_steps,
        }

        def value(gauge: Gauge) -> float:
            values = [engine[gauge]() for engine in list(engines.values())]
            return min(values, default=0.0) if gauge is all_.engine_up else sum(values)

        for gauge in engines[model]:
            gauge.labels(label).set_function(partial(value, gauge))

    def model_retired(self, model: str, event: str = "retired") -> None:
        """A model is served no more, or ``evicted``: what it is vanishes, what it did stays."""
        self.engine_retired(model)
        self.model_event(event)

    def engine_retired(self, model: str) -> None:
        """The same of a further engine of a model."""
        label = self._label[model]
        engines = self._engines.get(label, {})
        engines.pop(model, None)
        for family in self.catalogue.families if not engines else ():
            if isinstance(family.metric, Gauge) and "model" in family.labels:
                if family.labels == MODEL:
                    # prometheus_client holds a function in a cycle, and with it the weights of the model.
                    family.metric.labels(label).set_function(float)
                family.metric.remove_by_labels({"model": label})
        self._slots_used.pop(model, None)

    def session(self, event: str, count: int = 1) -> None:
        if count:
            self._counter(self.catalogue.session_events, event).inc(count)

    def session_calls(self, ok: int, failed: Sequence[str], seconds: float) -> None:
        calls = self.catalogue.session_calls
        if ok:
            self._counter(calls, "ok").inc(ok)
        for outcome in failed:
            self._counter(calls, outcome).inc()
        observe_many(self.catalogue.session_call_time, seconds, ok + len(failed))

    def session_steps(self, model: str, count: int) -> None:
        self._counter(self.catalogue.stored_steps, self._label[model]).inc(count)

    def store_call(self, call: StoreStats) -> None:
        """One call of the session store; on the store's thread."""
        all_ = self.catalogue
        self._histogram(all_.store_time, call.operation).observe(call.seconds)
        self._histogram(all_.store_group, call.operation).observe(call.size)
        if not call.ok:
            all_.store_failures.labels(call.operation).inc()

    def watch_store(
        self,
        healthy: Callable[[], bool],
        waiting: Callable[[], int] = lambda: 0,
        disk_bytes: Callable[[], int] | None = None,
        max_sessions: int = 0,
        skew_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Report the session store as it is at each scrape; ``disk_bytes`` where that is known."""
        all_ = self.catalogue
        all_.told(all_.store_up).set_function(healthy)
        all_.told(all_.store_waiting).set_function(waiting)
        all_.told(all_.sessions_limit).set(max_sessions)
        all_.told(all_.store_skew).set_function(skew_s)
        if disk_bytes is not None:
            all_.told(all_.store_disk).set_function(disk_bytes)
        for event in SESSION_EVENTS:
            all_.session_events.labels(event)
        for outcome in OUTCOMES:
            all_.session_calls.labels(outcome)
        for operation in ("get", "write"):
            all_.store_failures.labels(operation)
            all_.store_time.labels(operation)
            all_.store_group.labels(operation)

    def watch_connections(self, count: Callable[[], int]) -> None:
        self.catalogue.told(self.catalogue.connections).set_function(count)

    def live_sessions(self, count: int) -> None:
        self.catalogue.told(self.catalogue.sessions_live).set(count)

    def refused(self, reason: str) -> None:
        """A request was refused before it was parsed; ``reason`` is one of a few constants."""
        self.catalogue.refused.labels(reason).inc()

    def response(self, route: str, status: int, seconds: float | None = None) -> None:
        """Count one HTTP answer. ``route`` is the path template, never the path itself."""
        self._counter(self.catalogue.responses, route, str(status)).inc()
        if seconds is not None:
            self._histogram(self.catalogue.http_time, route).observe(seconds)

    def publishing(self) -> AbstractContextManager[None]:
        """In the block, the other workers learn of this one's numbers every second, and at its end."""
        return nullcontext() if self._share is None else self._share.publishing(self.catalogue)

    def exposition(self) -> tuple[bytes, str]:
        """What Prometheus scrapes, and its content type; takes milliseconds, and any thread may call it.

        Always the text format: its whole dialect is used here, and OpenMetrics would add nothing.
        """
        source = self.catalogue if self._share is None else self._share.collector(self.catalogue)
        return generate_latest(source), CONTENT_TYPE


def observe_many(histogram: Histogram, amount: float, count: int) -> None:
    """Observe ``amount`` ``count`` times, as tokens that left the engine together are.

    prometheus_client has no such method, so this knows its private names; a test compares the two.
    """
    histogram._sum.inc(amount * count)
    histogram._buckets[bisect_left(histogram._upper_bounds, amount)].inc(count)
