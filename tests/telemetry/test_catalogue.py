"""The catalogue: many equal observations at once, and values that nobody has told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from app.telemetry.catalogue import Catalogue
from app.telemetry.metrics import observe_many

BOUNDS = (0.25, 1.0, 2.5, 4e6)
VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 1e7, allow_nan=False))


def numbers(metrics: list[Metric]) -> dict[tuple[str, str | None], float]:
    """Values of a family without labels, by name and bucket."""
    return {
        (sample.name, sample.labels.get("le")): sample.value
        for metric in metrics
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(VALUES, st.integers(1, 5))))
def test_many_equal_observations_are_as_many_single_ones(values: list[tuple[float, int]]) -> None:
    """Bounds are inclusive, as the library has it."""
    histogram = Histogram("x_seconds", "Said", registry=None, buckets=BOUNDS)
    reference = Histogram("x_seconds", "Said", registry=None, buckets=BOUNDS)
    for value, count in values:
        observe_many(histogram, value, count)
        for _ in range(count):
            reference.observe(value)
    found, wanted = numbers(list(histogram.collect())), numbers(list(reference.collect()))
    sums = found.pop(("x_seconds_sum", None)), wanted.pop(("x_seconds_sum", None))
    assert found == wanted
    assert sums[0] == pytest.approx(sums[1])


def test_what_counts_is_shown_from_the_start_and_a_gauge_once_it_is_set() -> None:
    """Nothing has happened is a fact; a state that nobody told is none."""
    catalogue = Catalogue()
    text = generate_latest(catalogue).decode()
    assert "\nrnnserve_worker_restarts_total 0.0\n" in text
    assert "# TYPE rnnserve_session_store_up gauge\n" in text
    assert "\nrnnserve_session_store_up " not in text
    catalogue.told(catalogue.store_up).set(0)
    assert "\nrnnserve_session_store_up 0.0\n" in generate_latest(catalogue).decode()
