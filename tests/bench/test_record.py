"""Percentiles and summaries."""

from __future__ import annotations

import math
from array import array

from hypothesis import given
from hypothesis import strategies as st

from rnnserve_bench.record import Record, percentile


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=200), st.sampled_from([0.1, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_the_nearest_rank(values: list[float], percent: float) -> None:
    """The smallest measured value that at least this share of the values does not exceed."""
    found = percentile(array("d", values), percent)
    ordered = sorted(values)
    rank = max(1, math.ceil(round(percent / 100 * len(values), 9)))
    assert found == ordered[rank - 1]


def test_nothing_measured_is_zero() -> None:
    """No division by nothing, and no made-up spread."""
    record = Record()
    assert record.per_s == 0
    assert record.percentile(99) == 0
    assert record.summary()["latency_ms"] == {}


def test_a_summary_is_in_milliseconds_and_says_what_failed() -> None:
    """The document that `--json` prints."""
    record = Record(answered=4, total=4, seconds=2.0, client_cpu_s=0.002)
    record.latencies.extend([0.001, 0.002, 0.003, 0.1])
    record.failures["status 503"] += 2
    record.add("first_token", 0.004)
    summary = record.summary()
    assert summary["per_s"] == 2
    assert summary["latency_ms"] == {
        "p50": 2.0,
        "p90": 100.0,
        "p99": 100.0,
        "p99.9": 100.0,
        "mean": 26.5,
        "max": 100.0,
    }
    assert summary["failures"] == {"status 503": 2}
    assert summary["first_token_ms"]["max"] == 4.0  # type: ignore[index]  # a plain document
    assert summary["client_cpu_us_per_event"] == 500.0
