"""Instruments: they count as prometheus_client's do, and are written as prometheus_client writes."""

from __future__ import annotations

from functools import partial

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.telemetry.instruments import AnyFamily, Counter, Family, Gauge, Histogram

BOUNDS = (0.25, 1.0, 2.5, 4e6)


class One(Collector):
    """A registry's content of one family."""

    def __init__(self, family: AnyFamily) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        """It."""
        return [self._family.metric()]


def library_text(family: AnyFamily) -> str:
    """As prometheus_client writes it."""
    registry = CollectorRegistry()
    registry.register(One(family))
    return generate_latest(registry).decode()


def histogram(*labels: str) -> Family[Histogram]:
    """With the bounds above."""
    return Family("histogram", "x_seconds", "Said", labels, partial(Histogram, BOUNDS), bounds=BOUNDS)


VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 1e7, allow_nan=False))


@given(st.lists(st.tuples(VALUES, st.integers(1, 5))))
def test_a_histogram_counts_as_prometheus_client_does(values: list[tuple[float, int]]) -> None:
    """Bounds are inclusive, and many equal observations are as many single ones."""
    mine, theirs = histogram(), CollectorRegistry()
    reference = prometheus_client.Histogram("x_seconds", "Said", registry=theirs, buckets=BOUNDS)
    for value, count in values:
        mine.labels().observe(value, count)
        for _ in range(count):
            reference.observe(value)
    found = {(s.name, s.labels.get("le")): s.value for s in mine.metric().samples}
    (expected,) = theirs.collect()
    wanted = {
        (s.name, s.labels.get("le")): s.value for s in expected.samples if not s.name.endswith("_created")
    }
    total, wanted_total = found.pop(("x_seconds_sum", None)), wanted.pop(("x_seconds_sum", None))
    assert found == wanted
    assert total == pytest.approx(wanted_total)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@given(TEXTS, TEXTS, st.lists(st.tuples(TEXTS, TEXTS, st.floats(0, 1e12)), max_size=4))
def test_the_text_is_the_librarys(first: str, text: str, rows: list[tuple[str, str, float]]) -> None:
    """Escapes, order of labels and forms of numbers, for each kind."""
    counter = Family("counter", "x", text, ("zone", "area"), Counter)
    gauge = Family("gauge", "x", text, ("zone", "area"), Gauge)
    times = histogram("zone", "area")
    gauge.labels(first, first).set(-1)
    for zone, area, value in rows:
        counter.labels(zone, area).inc(value)
        gauge.labels(zone, area).set(value)
        times.labels(zone, area).observe(value, 3_000_000)
    family: AnyFamily
    for family in (counter, gauge, times):
        assert "".join(family.lines()) == library_text(family)


def test_a_watched_gauge_is_asked_each_time() -> None:
    """And is set again when somebody sets it no more."""
    values = [3.0, 5.0]
    gauge = Gauge()
    gauge.watch(lambda: values.pop(0))
    assert [gauge.value, gauge.value] == [3.0, 5.0]


def test_children_are_found_again_and_forgotten() -> None:
    """The same labels are the same child; a removed one begins anew."""
    family = Family("counter", "x", "Said", ("a",), Counter)
    family.labels("1").inc(2)
    assert family.labels("1").value == 2
    assert 'x_total{a="1"} 2.0' in "".join(family.lines())
    family.remove("1")
    assert family.children() == []
    assert family.labels("1").value == 0


def test_labels_must_be_all_there() -> None:
    """One value for each name."""
    with pytest.raises(ValueError, match=r"has the labels \('a', 'b'\)"):
        Family("counter", "x", "Said", ("a", "b"), Counter).labels("1")


def test_what_counts_is_shown_from_the_start_and_a_gauge_once_it_is_set() -> None:
    """Nothing has happened is a fact; a state that nobody told is none."""
    assert "x_total 0.0" in "".join(Family("counter", "x", "Said", (), Counter).lines())
    gauge = Family("gauge", "x", "Said", (), Gauge)
    assert len(list(gauge.lines())) == 2
    gauge.labels().set(4)
    assert "x 4.0" in "".join(gauge.lines())
