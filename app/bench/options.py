"""What a run is to do, checked; nothing here touches the network."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Scenario = Literal["forecast", "generate", "sessions"]
Way = Literal["http", "socket", "shared"]

WAYS: dict[Scenario, tuple[Way, ...]] = {
    "forecast": ("http",),
    "generate": ("socket", "http"),
    "sessions": ("shared", "socket", "http"),
}
"""How a scenario can be carried, its default first."""
MAX_EVENTS = 10_000_000
_SPARE_FILES = 64


class BenchError(Exception):
    """A run that cannot be made or was not answered; the message is for the user."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """One run.

    Attributes:
        url: of the server.
        scenario: what is asked.
        way: how; ``None`` takes the scenario's default.
        clients: connections (forecast, generate) or sessions.
        sockets: connections that the sessions share, with ``shared``.
        seconds: measured; ``warm_s`` before them are not.
        rate: events a second of an open loop; ``None`` is a closed loop.
        max_events: sent at most.
        model: name of the model; ``None`` takes the task's default.
        task: of the sessions' model.
        points, horizon: of a forecast.
        tokens: of a text.
        headers: of each request, such as ``authorization``.
        seed: of the arrivals and the inputs.

    Raises:
        BenchError: a value is out of its bounds; names it and what is allowed.
    """

    url: str
    scenario: Scenario = "forecast"
    way: Way | None = None
    clients: int = 16
    sockets: int = 4
    seconds: float = 10.0
    warm_s: float = 1.0
    rate: float | None = None
    max_events: int = MAX_EVENTS
    model: str | None = None
    task: Literal["forecast", "sentiment", "generate"] = "generate"
    points: int = 168
    horizon: int = 24
    tokens: int = 100
    headers: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good or parts.query or parts.fragment:
            raise BenchError(f"{self.url!r} is not the address of a server, such as http://localhost:8000")
        if self.way is not None and self.way not in WAYS[self.scenario]:
            allowed = " or ".join(WAYS[self.scenario])
            raise BenchError(f"{self.scenario} goes over {allowed}, not {self.way}")
        for name, least, most in (
            ("clients", 1, 20_000),
            ("sockets", 1, 1_000),
            ("seconds", 0.1, 3600),
            ("warm_s", 0, 600),
            ("max_events", 1, MAX_EVENTS),
            ("points", 2, 100_000),
            ("horizon", 1, 10_000),
            ("tokens", 1, 10_000),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise BenchError(f"{name} must be from {least:,} to {most:,}, not {value:,}")
        if self.rate is not None and not 0.01 <= self.rate <= 1_000_000:
            raise BenchError(f"rate must be from 0.01 to 1,000,000 events a second, not {self.rate:,}")
        allowed_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if self.connections + _SPARE_FILES > allowed_files:
            raise BenchError(
                f"{self.connections:,} connections need more open files than the {allowed_files:,} "
                "allowed here (ulimit -n)"
            )

    @property
    def carried(self) -> Way:
        """The way in force."""
        return self.way or WAYS[self.scenario][0]

    @property
    def connections(self) -> int:
        """How many are opened."""
        return min(self.sockets, self.clients) if self.carried == "shared" else self.clients
