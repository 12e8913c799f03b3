"""What a run is to do, checked; nothing here touches the network."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

Way = Literal["http", "socket", "shared"]

MAX_EVENTS = 10_000_000
_SPARE_FILES = 64


class BenchError(Exception):
    """A run that cannot be made or was not answered; the message is for the user."""


class LoadOption(Protocol):
    """See ``app.tasks.task.LoadOption``."""

    @property
    def name(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def default(self) -> int: ...
    @property
    def least(self) -> int: ...
    @property
    def most(self) -> int: ...


class Load(Protocol):
    """What a task asks of a server; see ``app.tasks.task.Load``, which this package does not import."""

    @property
    def options(self) -> Sequence[LoadOption]: ...
    @property
    def body(self) -> Callable[[random.Random, Mapping[str, int]], dict[str, Any]]: ...
    @property
    def answered(self) -> bytes: ...
    @property
    def inputs(self) -> Callable[[int], bytes]: ...
    @property
    def produced(self) -> Callable[[Mapping[str, Any]], int] | None: ...


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """One run.

    Attributes:
        url: of the server.
        task: name of the task that is asked, or whose sessions are fed.
        load: of the task.
        sessions: feed sessions instead of sending requests.
        way: how; ``None`` takes the first of :attr:`ways`.
        clients: connections, or sessions.
        sockets: connections that the sessions share, with ``shared``.
        seconds: measured; ``warm_s`` before them are not.
        rate: events a second of an open loop; ``None`` is a closed loop.
        max_events: sent at most.
        model: name of the model; ``None`` takes the task's default.
        fields: values of the load's options by name; one that is missing has its default.
        headers: of each request, such as ``authorization``.
        seed: of the arrivals and the requests.

    Raises:
        BenchError: a value is out of its bounds; names it and what is allowed.
    """

    url: str
    task: str
    load: Load
    sessions: bool = False
    way: Way | None = None
    clients: int = 16
    sockets: int = 4
    seconds: float = 10.0
    warm_s: float = 1.0
    rate: float | None = None
    max_events: int = MAX_EVENTS
    model: str | None = None
    fields: Mapping[str, int] = field(default_factory=dict)
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
        if self.way is not None and self.way not in self.ways:
            raise BenchError(f"{self.scenario} goes over {' or '.join(self.ways)}, not {self.way}")
        _check("clients", self.clients, 1, 20_000)
        _check("sockets", self.sockets, 1, 1_000)
        _check("seconds", self.seconds, 0.1, 3600)
        _check("warm_s", self.warm_s, 0, 600)
        _check("max_events", self.max_events, 1, MAX_EVENTS)
        for option in self.load.options:
            _check(option.name, self.values[option.name], option.least, option.most)
        if self.rate is not None and not 0.01 <= self.rate <= 1_000_000:
            raise BenchError(f"rate must be from 0.01 to 1,000,000 events a second, not {self.rate:,}")
        allowed_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if self.connections + _SPARE_FILES > allowed_files:
            raise BenchError(
                f"{self.connections:,} connections need more open files than the {allowed_files:,} "
                "allowed here (ulimit -n)"
            )

    @property
    def scenario(self) -> str:
        return "sessions" if self.sessions else self.task

    @property
    def values(self) -> dict[str, int]:
        """The load's options by name."""
        return {option.name: self.fields.get(option.name, option.default) for option in self.load.options}

    @property
    def ways(self) -> tuple[Way, ...]:
        """How the scenario can be carried, its default first."""
        if self.sessions:
            return ("shared", "socket", "http")
        return ("http",) if self.load.produced is None else ("socket", "http")

    @property
    def carried(self) -> Way:
        """The way in force."""
        return self.way or self.ways[0]

    @property
    def connections(self) -> int:
        """How many are opened."""
        return min(self.sockets, self.clients) if self.carried == "shared" else self.clients


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BenchError(f"{name} must be from {least:,} to {most:,}, not {value:,}")
