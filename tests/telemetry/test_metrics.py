"""Metrics: what the service and the engine report is what a scrape shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.engine.load import EngineLoad, TickStats
from app.service import Timing
from app.telemetry.metrics import SECONDS, Metrics


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
    names = ("engine_up", "queue_steps", "sequences", "slots_used")
    assert [value(name, model="m@1") for name in names] == [1, 7, 12, 8]
    alive[0], load[0] = False, EngineLoad(0, 0)
    value = Key(samples(metrics))
    assert [value(name, model="m@1") for name in names] == [0, 0, 0, 0]


def test_tokens_that_come_together_share_the_time() -> None:
    """Four tokens after 0.4 s came 0.1 s apart."""
    metrics = Metrics()
    metrics.first_token("m@1", 0.25)
    metrics.tokens("m@1", 4, 0.4)
    value = Key(samples(metrics))
    assert value("time_to_first_token_seconds_sum", model="m@1") == 0.25
    assert value("inter_token_latency_seconds_sum", model="m@1") == pytest.approx(0.1)


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
