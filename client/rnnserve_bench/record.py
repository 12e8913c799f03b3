"""What a run saw: latencies, failures, what was never answered; and their summary."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def percentile(seconds: Sequence[float] | array[float], percent: float) -> float:
    """The value that this percentage of them does not exceed (nearest rank); 0 for none."""
    if not len(seconds):
        return 0.0
    return float(np.percentile(np.asarray(seconds, np.float64), percent, method="inverted_cdf"))


@dataclass(slots=True)
class Record:
    """Measurements of one run, exact: one number for each event.

    Attributes:
        latencies: seconds of each counted event, from when it was due until its answer. An event
            without an answer is in here with the time it has waited, so it cannot shrink a percentile.
        lags: seconds from when an event was due and its unit free until it was sent: the load
            generator's own lateness.
        answered: good answers inside the measured window.
        total: good answers of the whole run, warm-up and end included.
        failures: what went wrong instead, with its number.
        unanswered: events that had no answer when the run gave up.
        series: further measurements of a scenario, in seconds or counts, by name.
        seconds: length of the measured window.
        client_cpu_s: CPU seconds of the load generator in the run.
    """

    latencies: array[float] = field(default_factory=lambda: array("d"))
    lags: array[float] = field(default_factory=lambda: array("d"))
    answered: int = 0
    total: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    series: dict[str, array[float]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    client_cpu_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float, name: str = "") -> float:
        """Of the latencies, or of a series, in seconds."""
        return percentile(self.series.get(name, array("d")) if name else self.latencies, percent)

    def add(self, name: str, value: float) -> None:
        """Append to a series."""
        found = self.series.get(name)
        if found is None:
            found = self.series[name] = array("d")
        found.append(value)

    def summary(self) -> dict[str, object]:
        """Plain values for JSON; times in milliseconds."""
        plain: dict[str, object] = {
            "answered": self.answered,
            "per_s": round(self.per_s, 2),
            "seconds": round(self.seconds, 3),
            "failures": dict(self.failures),
            "unanswered": self.unanswered,
            "latency_ms": _spread(self.latencies),
            "generator_lag_ms": _spread(self.lags),
            "client_cpu_us_per_event": round(self.client_cpu_s / max(1, self.total) * 1e6, 1),
        }
        plain |= {f"{name}_ms": _spread(values) for name, values in self.series.items()}
        plain |= dict(self.counts)
        return plain


def _spread(seconds: array[float]) -> dict[str, float]:
    if not len(seconds):
        return {}
    values = np.asarray(seconds, np.float64) * 1e3
    found = np.percentile(values, PERCENTILES, method="inverted_cdf")
    spread = {
        f"p{percent:g}": round(float(value), 3) for percent, value in zip(PERCENTILES, found, strict=True)
    }
    return spread | {"mean": round(float(values.mean()), 3), "max": round(float(values.max()), 3)}
