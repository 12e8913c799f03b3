"""Counters, gauges and histograms that cost a list access: what prometheus_client reads at a scrape.

    one writing thread --inc, observe--> plain numbers --scrape or publish--> text, or files of workers

prometheus_client's own instruments take a lock for each number, which in multi-process mode is
a write into a file as well. Here every child has one writing thread (the event loop, an
engine, the store), so a number needs no lock; readers see each number whole. A histogram takes
many equal observations at once, as tokens that left the engine together are.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, TypeVar

from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

Mode = Literal["livesum", "livemin", "livemax", "livemostrecent"]
"""How the gauges of several workers become one: prometheus_client's multi-process modes."""

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]


class Counter:
    """Only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add ``amount``, which is not negative."""
        self.value += amount


class Gauge:
    """Goes up and down, or is asked for at each scrape."""

    __slots__ = ("_ask", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._ask: Callable[[], float] | None = None

    @property
    def value(self) -> float:
        """As it is now."""
        return self._value if self._ask is None else float(self._ask())

    def set(self, value: float) -> None:
        """Take another value."""
        self._value = float(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add ``amount``."""
        self._value += amount

    def dec(self, amount: float = 1.0) -> None:
        """Subtract ``amount``."""
        self._value -= amount

    def watch(self, ask: Callable[[], float]) -> None:
        """Call ``ask`` for the value from now on; it is called by any thread and must not block."""
        self._ask = ask


class Histogram:
    """Counts by upper bound.

    Attributes:
        bounds: ascending and inclusive, without the infinite one.
        counts: observations of each bucket, not cumulative; one more than bounds.
        sum: of all observed values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count ``value``, ``count`` times over."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


ChildT = TypeVar("ChildT", bound=Counter | Gauge | Histogram)


class Family(Generic[ChildT]):
    """One metric: a child for each combination of label values.

    Args:
        kind: of its children.
        name: with its prefix and unit, without ``_total``.
        text: what it says, for people.
        labels: names.
        make: a fresh child.
        mode: of a gauge, how workers are put together.
        bounds: of a histogram.
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        text: str,
        labels: Labels,
        make: Callable[[], ChildT],
        mode: Mode = "livesum",
        bounds: Sequence[float] = (),
    ) -> None:
        self.kind = kind
        self.name = name
        self.text = text
        self.label_names = labels
        self.mode = mode
        self.les = (*(_number(bound) for bound in bounds), "+Inf")
        self._make = make
        self._children: dict[Labels, ChildT] = {}
        self._heads: dict[Labels, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        if not labels and kind != "gauge":
            # Zero is a fact for what counts. A gauge is shown once somebody sets it.
            self.labels()

    @property
    def sample_name(self) -> str:
        """As people write it: a counter's ends in ``_total``."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def labels(self, *values: str) -> ChildT:
        """The child of these label values; callers on hot paths keep it."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} has the labels {self.label_names}, not {values}")
            with self._lock:
                child = self._children.setdefault(values, self._make())
        return child

    def remove(self, *values: str) -> None:
        """Show this child no more."""
        with self._lock:
            self._children.pop(values, None)
            self._heads.pop(values, None)

    def children(self) -> list[tuple[Labels, ChildT]]:
        """All of now."""
        with self._lock:
            return list(self._children.items())

    def metric(self) -> Metric:
        """As prometheus_client knows it."""
        metric = Metric(self.name, self.text, self.kind)
        for values, child in self.children():
            labels = dict(zip(self.label_names, values, strict=True))
            if not isinstance(child, Histogram):
                metric.add_sample(self.sample_name, labels, child.value)
                continue
            total = 0
            for le, count in zip(self.les, child.counts, strict=True):
                total += count
                metric.add_sample(f"{self.name}_bucket", {**labels, "le": le}, total)
            metric.add_sample(f"{self.name}_count", labels, total)
            metric.add_sample(f"{self.name}_sum", labels, child.sum)
        return metric

    def lines(self) -> Iterator[str]:
        """As the text format writes it; the same bytes as prometheus_client's, in a fifth of the time."""
        yield f"# HELP {self.sample_name} {_escaped(self.text, quotes=False)}\n"
        yield f"# TYPE {self.sample_name} {self.kind}\n"
        for values, child in self.children():
            heads = self._heads.get(values)
            if heads is None:
                heads = self._heads[values] = tuple(self._make_heads(values))
            if not isinstance(child, Histogram):
                yield f"{heads[0]}{_number(child.value)}\n"
                continue
            total = 0
            for head, count in zip(heads, child.counts, strict=False):
                total += count
                yield f"{head}{_whole(total)}\n"
            yield f"{heads[-2]}{_whole(total)}\n"
            yield f"{heads[-1]}{_number(child.sum)}\n"

    def _make_heads(self, values: Labels) -> Iterator[str]:
        """Everything of a child's lines but the numbers."""
        pairs = list(zip(self.label_names, values, strict=True))
        plain = _label_set(pairs)
        if self.kind != "histogram":
            yield f"{self.sample_name}{plain} "
            return
        for le in self.les:
            yield f"{self.name}_bucket{_label_set([*pairs, ('le', le)])} "
        yield f"{self.name}_count{plain} "
        yield f"{self.name}_sum{plain} "


AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


def _label_set(pairs: list[tuple[str, str]]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(pairs)) + "}"


def _number(value: float) -> str:
    text: str = floatToGoString(value)
    return text


def _whole(number: int) -> str:
    return f"{number}.0" if number < 10**6 else _number(number)


def _escaped(text: str, *, quotes: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text
