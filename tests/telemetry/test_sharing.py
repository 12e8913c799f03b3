"""Several workers answer a scrape as one: sums, ages of gauges, deaths and successors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from operator import eq
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core.errors import ConfigurationError
from app.engine.load import EngineLoad
from app.service.call import Timing
from app.telemetry.metrics import Metrics
from app.telemetry.sharing import PUBLISH_S, Share, SharedFolder


class Worker:
    """One worker's metrics, in a folder."""

    def __init__(self, folder: Path, place: int) -> None:
        self.share = Share(folder, place)
        self.metrics = Metrics(self.share)

    def publish(self) -> None:
        """As its thread does every second."""
        self.share.publish(self.metrics.catalogue.collect(), self.metrics.catalogue.modes)

    def scrape(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """What it answers, by name without prefix, and labels."""
        text = self.metrics.exposition()[0].decode()
        return {
            (sample.name.removeprefix("rnnserve_"), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One of them."""
        return self.scrape()[name, tuple(sorted(labels.items()))]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """Two workers of one folder."""
    workers = Worker(tmp_path, 0), Worker(tmp_path, 1)
    yield workers
    for worker in workers:
        worker.share.close()


def test_any_worker_answers_with_the_sum(pair: tuple[Worker, Worker]) -> None:
    """Counters and histograms; its own numbers are those of now."""
    for worker, count in zip(pair, (2, 3), strict=True):
        for _ in range(count):
            worker.metrics.request("forecast", "m@1", "ok", Timing(0.001, 0.002, 0.004))
        worker.publish()
    both = {"task": "forecast", "model": "m@1"}
    for worker in pair:
        assert worker.value("requests_total", **both, outcome="ok") == 5
        assert worker.value("e2e_request_latency_seconds_count", **both) == 5
        assert worker.value("e2e_request_latency_seconds_bucket", **both, le="+Inf") == 5
        assert worker.value("e2e_request_latency_seconds_bucket", **both, le="0.00192") == 0
        assert worker.value("e2e_request_latency_seconds_sum", **both) == pytest.approx(0.02)
    pair[0].metrics.request("forecast", "m@1", "ok", Timing())
    assert pair[0].value("requests_total", **both, outcome="ok") == 6


def test_each_gauge_is_put_together_in_its_own_way(pair: tuple[Worker, Worker]) -> None:
    """Work is summed, health is the worst, the store's count is the newest."""
    for place, worker in enumerate(pair):
        metrics = worker.metrics
        metrics.watch_engine("m@1", lambda: True, lambda: EngineLoad(4, 2), slots=8)
        metrics.watch_store(partial(eq, place, 0), max_sessions=70)
        metrics.live_sessions(10 + place)
        metrics.sockets.inc(3)
    pair[1].metrics.watch_engine("m@1", lambda: False, lambda: EngineLoad(5, 1), slots=8)
    pair[0].publish()
    pair[1].publish()
    found = pair[1].value
    assert (found("queue_steps", model="m@1"), found("sequences", model="m@1")) == (9, 3)
    assert (found("slots", model="m@1"), found("engine_up", model="m@1")) == (16, 0)
    assert (found("session_store_up"), found("sessions_live"), found("sessions_limit")) == (0, 11, 70)
    assert (found("websockets"), found("workers")) == (6, 2)
    assert found("process_resident_memory_bytes") > 1e6


def test_a_successor_goes_on_from_a_dead_workers_totals(tmp_path: Path) -> None:
    """Counters never fall; what the dead one was doing is forgotten; the folder does not grow."""
    with SharedFolder(2) as folder:
        first, second = Worker(folder.path, 0), Worker(folder.path, 1)
        for worker in (first, second):
            worker.metrics.response("/forecast", 200, 0.5)
            worker.metrics.sockets.inc()
            worker.publish()
        files = set(os.listdir(folder.path))
        folder.bury(1)
        answer = {"route": "/forecast", "status": "200"}
        assert first.value("http_responses_total", **answer) == 2
        assert (first.value("websockets"), first.value("workers")) == (1, 1)
        assert first.value("worker_restarts_total") == 1
        successor = Worker(folder.path, 1)
        successor.metrics.response("/forecast", 200, 0.5)
        successor.publish()
        assert first.value("http_responses_total", **answer) == 3
        assert first.value("http_request_duration_seconds_count", route="/forecast") == 3
        assert (first.value("websockets"), first.value("workers")) == (1, 2)
        assert set(os.listdir(folder.path)) == files | {"counter_2.db"}
        for worker in (first, second, successor):
            worker.share.close()
    assert not folder.path.exists()


def test_a_model_that_is_served_no_more_vanishes_everywhere(pair: tuple[Worker, Worker]) -> None:
    """A worker's file keeps no ghost, which would be taken for a dead engine; what it counted stays."""
    for worker in pair:
        for model in ("old@1", "new@2"):
            worker.metrics.model_loaded(model, "forecast", "lstm", 0.5)
            worker.metrics.watch_engine(model, lambda: True, lambda: EngineLoad(1, 1), slots=8)
            worker.metrics.request("forecast", model, "ok", Timing())
        worker.publish()
    for worker in pair:
        worker.metrics.model_retired("old@1")
        worker.publish()
    found = pair[0].scrape()
    states = {name for (name, labels) in found if ("model", "old@1") in labels}
    assert "requests_total" in states
    assert not states & {"engine_up", "slots", "queue_steps", "model_info", "model_load_seconds"}
    assert pair[0].value("engine_up", model="new@2") == 1
    assert pair[0].value("model_events_total", event="retired") == 2


def test_a_worker_publishes_by_itself_and_once_more_at_its_end(pair: tuple[Worker, Worker]) -> None:
    """Within the block from the beginning; what came after the last second is not lost."""
    with pair[0].metrics.publishing():
        pair[0].metrics.session("created", 2)
    assert pair[1].value("session_events_total", event="created") == 2
    assert PUBLISH_S <= 1
    # Whoever scrapes it while it ends gets an answer, and nothing twice.
    pair[0].metrics.session("created", 1)
    assert pair[0].value("session_events_total", event="created") == 2


def test_many_series_make_the_file_grow(pair: tuple[Worker, Worker]) -> None:
    """Far beyond its first size."""
    for number in range(300):
        pair[0].metrics.request("forecast", f"m@{number}", "ok", Timing(0.1, 0.1, 0.2))
    pair[0].publish()
    found = pair[1].scrape()
    assert sum(value for (name, _), value in found.items() if name == "requests_total") == 300


def test_without_a_temporary_folder_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable that helps."""

    def refuse(prefix: str) -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(ConfigurationError, match="TMPDIR"):
        SharedFolder(2)
