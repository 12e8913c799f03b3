"""One request's clock and its outcome, counted exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.core.errors import CallerError, CapacityError
from app.core.sequence import Usage
from app.service.catalog import Deployment
from app.tasks.model import Summary


@dataclass(slots=True)
class Timing:
    queue_s: float = 0.0
    compute_s: float = 0.0
    total_s: float = 0.0


class RequestObserver(Protocol):
    def request(self, task: str, model: str, outcome: str, timing: Timing) -> None:
        """One request ended: ``ok``, ``caller``, ``capacity``, ``server`` or ``cancelled``."""

    def first_token(self, model: str, seconds: float) -> None:
        """The first token of a generation came this long after its submission."""

    def tokens(self, model: str, count: int, seconds: float) -> None:
        """``count`` further tokens of one choice came ``seconds`` after the ones before."""

    def generated(self, model: str, count: int) -> None:
        """``count`` tokens were produced, the first ones included."""

    def ended(self, model: str, reason: str, count: int = 1) -> None:
        """``count`` sequences ended well: ``stop``, ``length``, ``stopped`` or ``complete``."""

    def text(self, model: str, prompt: int, produced: int | None) -> None:
        """A request on text ended well; ``produced`` is ``None`` where its task produces no tokens."""


class RequestClock:
    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._queue_s = 0.0
        self._compute_s = 0.0

    def add(self, usage: Usage) -> None:
        """The parts of a request run side by side, so the longest counts."""
        self._queue_s = max(self._queue_s, usage.queue_s)
        self._compute_s = max(self._compute_s, usage.compute_s)

    def timing(self) -> Timing:
        return Timing(self._queue_s, self._compute_s, time.perf_counter() - self._started)


class Call(RequestClock):
    """Times one request and reports its outcome exactly once; an error that leaves its block is one.

    Attributes:
        model: as a metric label.
        deployment: answers it, and stays in memory until the outcome is reported.
        at_end: are called once, when the outcome is reported.
    """

    def __init__(self, observe: RequestObserver, task: str, model: str | None) -> None:
        super().__init__()
        self._observe = observe
        self._task = task
        self._reported = False
        self.at_end: list[Callable[[], None]] = []
        self.deployment: Deployment | None = None
        # Until the model is found: names that callers invent must not become metric labels.
        self.model = "default" if model is None else "unknown"

    def __enter__(self) -> Call:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.report(outcome_of(error))

    def asks(self, deployment: Deployment) -> None:
        """It goes to a deployment."""
        self.deployment, self.model = deployment, deployment.reference
        deployment.uses += 1

    def produced(self, count: int, seconds: float | None, *, first: bool) -> None:
        """Tokens of one choice arrived, ``seconds`` after its last ones; ``first`` of the whole request."""
        self._observe.generated(self.model, count)
        if first:
            self._observe.first_token(self.model, time.perf_counter() - self._started)
        elif seconds is not None:
            self._observe.tokens(self.model, count, seconds)

    def wrote(self, summary: Summary) -> None:
        for reason in summary.reasons:
            self._observe.ended(self.model, reason)
        self._observe.text(self.model, summary.supplied, summary.produced)

    def answered(self, count: int, tokens: int | None) -> None:
        """The request ended well: ``count`` sequences were read, ``tokens`` of them where they are texts."""
        self._observe.ended(self.model, "complete", count)
        if tokens is not None:
            self._observe.text(self.model, tokens, None)
        self.report("ok")

    def report(self, outcome: str) -> None:
        """Count the request; later calls change nothing."""
        if not self._reported:
            self._reported = True
            for call in self.at_end:
                call()
            if self.deployment is not None:
                self.deployment.uses -= 1
            self._observe.request(self._task, self.model, outcome, self.timing())


def outcome_of(error: BaseException) -> str:
    """``caller``, ``capacity``, ``server`` or ``cancelled``."""
    if isinstance(error, CallerError):
        return "caller"
    if isinstance(error, CapacityError):
        return "capacity"
    return "server" if isinstance(error, Exception) and not isinstance(error, GeneratorExit) else "cancelled"
