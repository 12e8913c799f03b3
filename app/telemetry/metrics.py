"""What the layers report, put into the catalogue's numbers, and the text that a scrape gets.

The methods are plain calls with numbers, cheap enough for the engine's thread and the event
loop: each finds its children once and then only adds. Nothing outside this package imports
prometheus_client.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from prometheus_client import generate_latest

from app.telemetry.catalogue import Catalogue
from app.telemetry.instruments import Counter, Histogram
from app.telemetry.process import watch_process
from app.telemetry.reports import Load, StoreCall, Tick, Times
from app.telemetry.sharing import Publisher, Share

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = ("ok", "caller", "capacity", "server")
SESSION_EVENTS = (
    "created",
    "forked",
    "imported",
    "exported",
    "closed",
    "expired",
    "rewound",
    "migrated",
    "snapshot",
    "replayed",
    "conflict",
    "quarantined",
    "corrupt",
    "refused",
)
MODEL_EVENTS = ("loaded", "failed", "switched", "retired")
REFUSALS = ("unauthenticated", "forbidden", "request_rate", "port")


class Metrics:
    """All metrics of one process.

    Each application has its own, so that tests and several applications in one process do not
    share counts.

    Args:
        share: where workers that serve one port put their numbers together.
        version: of the service.
    """

    def __init__(self, share: Share | None = None, version: str = "0") -> None:
        self.catalogue = Catalogue()
        self._share = share
        all_ = self.catalogue
        watch_process(all_)
        all_.build.labels(version, platform.python_version()).set(1)
        all_.workers.labels().set(1)
        self.sockets = all_.sockets.labels()
        self.in_flight = all_.in_flight.labels()
        self._used: dict[str, int] = {}
        # A rate needs the zero that was before the first event.
        for event in MODEL_EVENTS:
            all_.model_events.labels(event)
        for reason in REFUSALS:
            all_.refused.labels(reason)
        # Looking a child up by its labels costs as much as counting on it.
        self._outcome = lru_cache(maxsize=4096)(all_.requests.labels)
        self._times = lru_cache(maxsize=1024)(self._find_times)
        self._texts = lru_cache(maxsize=1024)(self._find_texts)
        self._response = lru_cache(maxsize=4096)(self._find_response)

    def request(self, task: str, model: str, outcome: str, timing: Times) -> None:
        """Count one request and where its time went."""
        self._outcome(task, model, outcome).inc()
        queue, compute, latency = self._times(task, model)
        queue.observe(timing.queue_s)
        compute.observe(timing.compute_s)
        latency.observe(timing.total_s)

    def ended(self, model: str, reason: str, count: int = 1) -> None:
        """``count`` sequences ended well."""
        self.catalogue.successes.labels(model, reason).inc(count)

    def first_token(self, model: str, seconds: float) -> None:
        """The first token of a generation came ``seconds`` after its submission."""
        self.catalogue.first_token.labels(model).observe(seconds)

    def tokens(self, model: str, count: int, seconds: float) -> None:
        """``count`` further tokens of one choice came together, ``seconds`` after the ones before."""
        self.catalogue.inter_token.labels(model).observe(seconds / count, count)

    def generated(self, model: str, count: int) -> None:
        """``count`` tokens were produced, the first ones included."""
        self.catalogue.generation_tokens.labels(model).inc(count)

    def text(self, model: str, prompt: int, produced: int | None) -> None:
        """One request's tokens; ``produced`` is ``None`` where the task produces none."""
        tokens, sizes, products = self._texts(model)
        tokens.inc(prompt)
        sizes.observe(prompt)
        if produced is not None:
            products.observe(produced)

    def tick_observer(self, model: str) -> Callable[[Tick], None]:
        """A callback for one engine; it runs on the engine's thread and takes about a microsecond."""
        batch, tick_steps = (
            self.catalogue.batch_size.labels(model),
            self.catalogue.tick_steps.labels(model),
        )
        seconds, steps = self.catalogue.tick_time.labels(model), self.catalogue.steps.labels(model)

        def observe(tick: Tick) -> None:
            for rows in tick.batch:
                batch.observe(rows)
            tick_steps.observe(tick.steps)
            seconds.observe(tick.seconds)
            steps.inc(tick.steps)
            self._used[model] = tick.slots_used

        return observe

    def model_loaded(self, model: str, task: str, cell: str, seconds: float, *, parameters: int = 0) -> None:
        """A bundle was read and verified, and is served."""
        self.catalogue.info.labels(model, task, cell).set(1)
        self.catalogue.load_time.labels(model).set(seconds)
        self.catalogue.weights.labels(model).set(4 * parameters)
        for outcome in (*OUTCOMES, "cancelled"):
            self._outcome(task, model, outcome)
        self._times(task, model)
        self.catalogue.stored_steps.labels(model)
        if task == "generate":
            for family in (self.catalogue.first_token, self.catalogue.inter_token):
                family.labels(model)
            self.catalogue.generation_tokens.labels(model)
            self._texts(model)
        self.model_event("loaded")

    def model_event(self, event: str) -> None:
        """``loaded``, ``failed``, ``switched`` or ``retired`` happened to a bundle."""
        self.catalogue.model_events.labels(event).inc()

    def bad_models(self, count: int) -> None:
        """So many bundles of the folder are not served because they are bad."""
        self.catalogue.models_bad.labels().set(count)

    def watch_engine(
        self,
        model: str,
        alive: Callable[[], bool],
        load: Callable[[], Load],
        *,
        slots: int = 0,
        row_bytes: int = 0,
        max_steps: int = 0,
    ) -> None:
        """Report a model's engine as it is at each scrape.

        Args:
            model: ``name@version``.
            alive: whether its thread runs.
            load: what it holds.
            slots: state rows.
            row_bytes: of one.
            max_steps: that may be queued.
        """

        def used() -> int:
            # An engine whose last sequences were cancelled has no further tick to report it.
            return min(self._used.get(model, 0), load().sequences)

        all_ = self.catalogue
        all_.engine_up.labels(model).watch(alive)
        all_.queue_steps.labels(model).watch(lambda: load().steps)
        all_.sequences.labels(model).watch(lambda: load().sequences)
        all_.slots_used.labels(model).watch(used)
        all_.running.labels(model).watch(used)
        all_.waiting.labels(model).watch(lambda: load().sequences - used())
        all_.slots.labels(model).set(slots)
        all_.state_bytes.labels(model).set(slots * row_bytes)
        all_.queue_limit.labels(model).set(max_steps)

    def model_retired(self, model: str) -> None:
        """A model is served no more: what it is vanishes, what it did stays."""
        all_ = self.catalogue
        for family in (
            all_.engine_up,
            all_.queue_steps,
            all_.sequences,
            all_.slots_used,
            all_.running,
            all_.waiting,
            all_.slots,
            all_.state_bytes,
            all_.queue_limit,
            all_.load_time,
            all_.weights,
        ):
            family.remove(model)
        for values, _ in all_.info.children():
            if values[0] == model:
                all_.info.remove(*values)
        self._used.pop(model, None)
        self.model_event("retired")

    def session(self, event: str, count: int = 1) -> None:
        """Something happened to ``count`` sessions."""
        if count:
            self.catalogue.session_events.labels(event).inc(count)

    def session_calls(self, ok: int, failed: Sequence[str], seconds: float) -> None:
        """Step calls that came together ended, ``seconds`` after they came.

        Args:
            ok: how many succeeded.
            failed: outcome of each other one.
            seconds: for all of them.
        """
        if ok:
            self.catalogue.session_calls.labels("ok").inc(ok)
        for outcome in failed:
            self.catalogue.session_calls.labels(outcome).inc()
        self.catalogue.session_call_time.labels().observe(seconds, ok + len(failed))

    def session_steps(self, model: str, count: int) -> None:
        """Steps were applied and stored."""
        self.catalogue.stored_steps.labels(model).inc(count)

    def store_call(self, call: StoreCall) -> None:
        """One call of the session store; on the store's thread."""
        self.catalogue.store_time.labels(call.operation).observe(call.seconds)
        self.catalogue.store_group.labels(call.operation).observe(call.size)
        if not call.ok:
            self.catalogue.store_failures.labels(call.operation).inc()

    def watch_store(
        self,
        healthy: Callable[[], bool],
        waiting: Callable[[], int] = lambda: 0,
        disk_bytes: Callable[[], int] | None = None,
        max_sessions: int = 0,
    ) -> None:
        """Report the session store as it is at each scrape.

        Args:
            healthy: whether it answers.
            waiting: sessions and calls that wait for it.
            disk_bytes: what it takes, where that is known.
            max_sessions: live ones that it takes.
        """
        all_ = self.catalogue
        all_.store_up.labels().watch(healthy)
        all_.store_waiting.labels().watch(waiting)
        all_.sessions_limit.labels().set(max_sessions)
        for event in SESSION_EVENTS:
            all_.session_events.labels(event)
        for outcome in OUTCOMES:
            all_.session_calls.labels(outcome)
        for operation in ("get", "write"):
            all_.store_failures.labels(operation)
            all_.store_time.labels(operation)
            all_.store_group.labels(operation)
        if disk_bytes is not None:
            all_.store_disk.labels().watch(disk_bytes)

    def live_sessions(self, count: int) -> None:
        """So many sessions live in the store, as it was just counted."""
        self.catalogue.sessions_live.labels().set(count)

    def refused(self, reason: str) -> None:
        """A request was refused before it was parsed; ``reason`` is one of a few constants."""
        self.catalogue.refused.labels(reason).inc()

    def response(self, route: str, status: int, seconds: float | None = None) -> None:
        """Count one HTTP answer. ``route`` is the path template, never the path itself."""
        counter, duration = self._response(route, status)
        counter.inc()
        if seconds is not None:
            duration.observe(seconds)

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """In the block, the other workers learn of this one's numbers every second, and at its end."""
        if self._share is None:
            yield
            return
        publisher = Publisher(self.catalogue, self._share)
        publisher.start()
        try:
            yield
        finally:
            publisher.close()

    def exposition(self) -> tuple[bytes, str]:
        """What Prometheus scrapes, and its content type; takes milliseconds, and any thread may call it.

        Always the text format: its whole dialect is used here, and OpenMetrics would add nothing.
        """
        self.catalogue.refresh()
        if self._share is not None:
            return generate_latest(self._share.collected(self.catalogue)), CONTENT_TYPE
        return self.catalogue.text(), CONTENT_TYPE

    def _find_times(self, task: str, model: str) -> tuple[Histogram, Histogram, Histogram]:
        return (
            self.catalogue.queue_time.labels(task, model),
            self.catalogue.inference_time.labels(task, model),
            self.catalogue.latency.labels(task, model),
        )

    def _find_texts(self, model: str) -> tuple[Counter, Histogram, Histogram]:
        return (
            self.catalogue.prompt_tokens.labels(model),
            self.catalogue.request_prompt.labels(model),
            self.catalogue.request_generation.labels(model),
        )

    def _find_response(self, route: str, status: int) -> tuple[Counter, Histogram]:
        return self.catalogue.responses.labels(route, str(status)), self.catalogue.http_time.labels(route)
