"""Metrics: what the service and the engine report is what a scrape shows."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.engine.load import EngineLoad, TickStats
from app.service.call import Timing
from app.telemetry.catalogue import SECONDS
from app.telemetry.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a scrape, by name and labels."""
    text = metrics.exposition()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass(frozen=True, slots=True)
class Key:
    """Looks a sample up."""

    found: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    def __call__(self, name: str, **labels: str) -> float:
        """Its value."""
        return self.found[f"rnnserve_{name}", tuple(sorted(labels.items()))]


def test_a_request_is_counted_and_timed() -> None:
    """Once by outcome, and in each histogram."""
    metrics = Metrics()
    metrics.request("forecast", "m@1", "ok", Timing(0.001, 0.002, 0.004))
    metrics.request("forecast", "m@1", "ok", Timing(0.001, 0.002, 0.004))
    metrics.request("forecast", "m@1", "caller", Timing())
    value = Key(samples(metrics))
    both = {"task": "forecast", "model": "m@1"}
    assert value("requests_total", **both, outcome="ok") == 2
    assert value("requests_total", **both, outcome="caller") == 1
    assert value("request_queue_time_seconds_sum", **both) == pytest.approx(0.002)
    assert value("request_inference_time_seconds_sum", **both) == pytest.approx(0.004)
    assert value("e2e_request_latency_seconds_count", **both) == 3


def test_a_tick_reports_batches_and_steps() -> None:
    """The engine's own record is understood."""
    metrics = Metrics()
    metrics.tick_observer("m@1")(TickStats((3, 5), 40, 0.01, 7, 8))
    value = Key(samples(metrics))
    assert value("batch_size_count", model="m@1") == 2
    assert value("batch_size_sum", model="m@1") == 8
    assert value("steps_total", model="m@1") == 40


def test_an_engine_is_asked_at_the_scrape() -> None:
    """Queue, slots and life are those of now, also when everything was cancelled since the last tick."""
    metrics, alive, load = Metrics(), [True], [EngineLoad(7, 12)]
    metrics.watch_engine("m@1", lambda: alive[0], lambda: load[0])
    metrics.tick_observer("m@1")(TickStats((3, 5), 40, 0.01, 7, 8))
    value = Key(samples(metrics))
    names = (
        "engine_up", "queue_steps", "sequences", "slots_used", "num_requests_running", "num_requests_waiting",
    )  # fmt: skip
    assert [value(name, model="m@1") for name in names] == [1, 7, 12, 8, 8, 4]
    alive[0], load[0] = False, EngineLoad(0, 0)
    value = Key(samples(metrics))
    assert [value(name, model="m@1") for name in names] == [0, 0, 0, 0, 0, 0]


def test_tokens_that_come_together_share_the_time() -> None:
    """Four tokens after 0.4 s came 0.1 s apart, which is four observations."""
    metrics = Metrics()
    metrics.first_token("m@1", 0.25)
    metrics.tokens("m@1", 4, 0.4)
    value = Key(samples(metrics))
    assert value("time_to_first_token_seconds_sum", model="m@1") == 0.25
    assert value("inter_token_latency_seconds_sum", model="m@1") == pytest.approx(0.4)
    assert value("inter_token_latency_seconds_count", model="m@1") == 4
    assert value("inter_token_latency_seconds_bucket", model="m@1", le="0.12288") == 4
    assert value("inter_token_latency_seconds_bucket", model="m@1", le="0.06144") == 0


def test_a_generation_and_a_reading_are_counted_in_tokens_and_ends() -> None:
    """A task that produces nothing leaves no production of zero tokens behind."""
    metrics = Metrics()
    metrics.generated("text@1", 5)
    metrics.ended("text@1", "stop")
    metrics.ended("text@1", "length")
    metrics.text("text@1", 6, 5)
    metrics.ended("mood@1", "complete", 3)
    metrics.text("mood@1", 40, None)
    value = Key(samples(metrics))
    assert value("request_success_total", model="text@1", finished_reason="stop") == 1
    assert value("request_success_total", model="text@1", finished_reason="length") == 1
    assert value("request_success_total", model="mood@1", finished_reason="complete") == 3
    assert (value("prompt_tokens_total", model="text@1"), value("prompt_tokens_total", model="mood@1")) == (
        6,
        40,
    )
    assert value("generation_tokens_total", model="text@1") == 5
    assert value("request_generation_tokens_sum", model="text@1") == 5
    assert value("request_generation_tokens_count", model="mood@1") == 0


def test_step_calls_that_came_together_share_the_time() -> None:
    """Each is counted by how it ended."""
    metrics = Metrics()
    metrics.watch_store(lambda: True)
    metrics.session_calls(3, ["caller", "server", "caller"], 0.5)
    value = Key(samples(metrics))
    ends = {"ok": 3.0, "caller": 2.0, "server": 1.0, "capacity": 0.0}
    assert {name: value("session_calls_total", outcome=name) for name in ends} == ends
    assert (value("session_call_seconds_count"), value("session_call_seconds_sum")) == (6, 3)


def test_a_store_is_asked_at_the_scrape_and_its_events_begin_at_zero() -> None:
    """Without a store nothing is said of one; a rate needs the zero before the first event."""
    assert not any(name.startswith("rnnserve_session_store_up") for name, _ in samples(Metrics()))
    metrics, up, waiting = Metrics(), [True], [3]
    metrics.watch_store(lambda: up[0], lambda: waiting[0], lambda: 4096, 70)
    metrics.live_sessions(5)
    value = Key(samples(metrics))
    names = ("session_store_up", "session_store_waiting", "session_store_disk_bytes", "sessions_live")
    assert [value(name) for name in (*names, "sessions_limit")] == [1, 3, 4096, 5, 70]
    for event in ("created", "conflict", "refused", "expired", "forked", "migrated"):
        assert value("session_events_total", event=event) == 0
    up[0], waiting[0] = False, 0
    assert [Key(samples(metrics))(name) for name in names[:2]] == [0, 0]


def test_the_process_is_measured_at_the_scrape() -> None:
    """Under the names that every dashboard knows; what is allocated is seen."""
    metrics = Metrics(version="1.2.3")
    before = samples(metrics)
    assert before["process_resident_memory_bytes", ()] > 1e6
    assert 0 < before["process_open_fds", ()] < before["process_max_fds", ()]
    assert before["process_start_time_seconds", ()] <= time.time()
    held = np.ones(4_000_000)
    after = samples(metrics)
    assert after["process_cpu_seconds_total", ()] >= before["process_cpu_seconds_total", ()] > 0
    if ("rnnserve_anonymous_memory_bytes", ()) in before:
        grown = after["rnnserve_anonymous_memory_bytes", ()] - before["rnnserve_anonymous_memory_bytes", ()]
        assert grown > 0.9 * held.nbytes
    python = platform.python_version()
    assert Key(after)("build_info", version="1.2.3", python=python) == 1


def test_a_model_that_is_served_no_more_vanishes() -> None:
    """What it is goes, what it did stays; the others are untouched."""
    metrics = Metrics()
    for model in ("old@1", "new@2"):
        metrics.model_loaded(model, "forecast", "lstm", 0.5, parameters=1000)
        metrics.watch_engine(
            model, lambda: True, lambda: EngineLoad(1, 1), slots=8, row_bytes=100, max_steps=9
        )
        metrics.request("forecast", model, "ok", Timing())
    value = Key(samples(metrics))
    assert value("model_weights_bytes", model="old@1") == 4000
    assert value("state_bytes", model="old@1") == 800
    assert value("queue_steps_limit", model="old@1") == 9
    metrics.model_retired("old@1")
    found = samples(metrics)
    old = {name for name, labels in found if ("model", "old@1") in labels}
    new = {name for name, labels in found if ("model", "new@2") in labels}
    gauges = {
        "engine_up", "queue_steps", "sequences", "slots_used", "num_requests_running", "num_requests_waiting",
        "slots", "state_bytes", "queue_steps_limit", "model_load_seconds", "model_weights_bytes",
        "model_info",
    }  # fmt: skip
    assert new - old == {f"rnnserve_{name}" for name in gauges}
    assert "rnnserve_requests_total" in old


def test_an_answer_is_counted_and_timed_by_its_route() -> None:
    """A route is a template, and a refusal a constant, so neither grows with what clients invent."""
    metrics = Metrics()
    metrics.response("/sessions/{id}", 404, 0.5)
    metrics.refused("unauthenticated")
    value = Key(samples(metrics))
    assert value("http_responses_total", route="/sessions/{id}", status="404") == 1
    assert value("http_request_duration_seconds_sum", route="/sessions/{id}") == 0.5
    assert value("refused_total", reason="unauthenticated") == 1


def test_two_applications_in_one_process_do_not_share_counts() -> None:
    """Each has its own registry."""
    first, second = Metrics(), Metrics()
    first.response("/healthz", 200)
    assert Key(samples(first))("http_responses_total", route="/healthz", status="200") == 1
    assert not any(name == "rnnserve_http_responses_total" for name, _ in samples(second))


def test_time_buckets_double_from_15_us() -> None:
    """Geometric, and up to a minute."""
    assert SECONDS[0] == 15e-6
    assert all(math.isclose(after / before, 2) for before, after in pairwise(SECONDS))
    assert SECONDS[-1] > 60


def test_models_beyond_a_bound_share_their_metrics() -> None:
    """Counts and gauges of the others add up, a dead engine of them is seen, and they leave one by one."""
    metrics = Metrics(max_models=1)
    dead: set[str] = set()
    for model in ("a@1", "b@1", "c@1"):
        metrics.model_loaded(model, "forecast", "lstm", 0.5)
        metrics.watch_engine(model, partial(dead.isdisjoint, {model}), lambda: EngineLoad(2, 1), slots=8)
        metrics.request("forecast", model, "ok", Timing())
    metrics.request("forecast", "default", "caller", Timing())
    value = Key(samples(metrics))
    assert [
        value("requests_total", task="forecast", model=model, outcome="ok") for model in ("a@1", "other")
    ] == [1, 2]
    assert value("requests_total", task="forecast", model="default", outcome="caller") == 1
    assert [value("queue_steps", model=model) for model in ("a@1", "other")] == [2, 4]
    assert value("engine_up", model="other") == 1
    dead.add("c@1")
    assert Key(samples(metrics))("engine_up", model="other") == 0
    metrics.model_retired("c@1", "evicted")
    value = Key(samples(metrics))
    assert (value("engine_up", model="other"), value("slots", model="other")) == (1, 8)
    metrics.model_retired("b@1", "evicted")
    left = {labels for name, labels in samples(metrics) if name == "rnnserve_slots"}
    assert left == {(("model", "a@1"),)}
    assert Key(samples(metrics))("model_events_total", event="evicted") == 2
