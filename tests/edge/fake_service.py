"""A service whose answers are obvious, for what only the edge decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from app.core.limits import Limits
from app.edge.application import assemble
from app.edge.edge import AccessRules, Edge, Lifecycle, SessionEdge
from app.edge.protocol import Protocol
from app.registered import TASKS
from app.service.call import Timing
from app.tasks.decoded.schema import Choice, DoneFrame, Frame, TokenFrame, Usage
from app.tasks.forecast.schema import Forecast, ForecastAnswer, ForecastRequest
from app.tasks.generate.schema import GenerateAnswer, GenerateRequest
from app.tasks.model import ResumePoint
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest, SentimentResult
from app.tasks.task import Task, Tasks
from app.telemetry.metrics import Metrics

TIMING = Timing(queue_s=0.001, compute_s=0.002, total_s=0.004)


class FakeStream:
    """Produces one ``x`` per token, one frame each; ``stop`` ends it, ``cancelled`` is remembered."""

    def __init__(self, request: GenerateRequest, error: BaseException | None, pause_s: float) -> None:
        self._request = request
        self._error = error
        self._pause_s = pause_s
        self._stopped = False
        self.cancelled = False
        self.event_id = "0"
        self._frames = self._run()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._frames

    def stop(self) -> None:
        """End after the present token."""
        self._stopped = True

    def cancel(self) -> None:
        """Remember that nobody reads on."""
        self.cancelled = True

    async def _run(self) -> AsyncIterator[Frame]:
        count = 0
        while count < self._request.max_tokens and not self._stopped:
            await asyncio.sleep(self._pause_s)
            yield TokenFrame(text="x", index=count)
            count += 1
        if self._error is not None:
            raise self._error
        reason = "stopped" if self._stopped else "length"
        yield DoneFrame(
            finish_reason=reason, finish_reasons=[reason], usage=_usage(count), seed=1, model="fake@1"
        )


def _forecast(request: ForecastRequest) -> BaseModel:
    forecasts = [
        Forecast(id=series.id, mean=[series.values[-1] or 0.0] * (request.horizon or 1), quantiles={})
        for series in request.all_series()
    ]
    return ForecastAnswer(model="fake@1", forecasts=forecasts)


def _sentiment(request: SentimentRequest) -> BaseModel:
    results = [SentimentResult(label="good", score=1.0, scores={"good": 1.0}) for _ in request.texts]
    return SentimentAnswer(model="fake@1", results=results)


def _generate(request: GenerateRequest) -> BaseModel:
    choices = [Choice(text="x" * request.max_tokens, finish_reason="length") for _ in range(request.n)]
    return GenerateAnswer(model="fake@1", choices=choices, usage=_usage(request.max_tokens), seed=1)


ANSWERS: dict[str, Callable[[Any], BaseModel]] = {
    "forecast": _forecast,
    "sentiment": _sentiment,
    "generate": _generate,
}


class FakeService:
    """Repeats the last value, calls every text good, and writes ``x``.

    Attributes:
        error: raised by the next calls instead of an answer; by streams, before their done frame.
        delay_s: how long a plain answer takes.
        cancelled: plain requests that were cancelled.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.refuse: BaseException | None = None
        self.delay_s = 0.0
        self.cancelled = 0
        self.streams: list[FakeStream] = []
        self.deployments: dict[str, Any] = {
            "fake@1": SimpleNamespace(task=None, manifest=SimpleNamespace(name="fake", reference="fake@1"))
        }
        self.catalog = SimpleNamespace(base=self.deployments.get, deployments=self.deployments, defaults={})

    def full_for_s(self, task: str) -> float | None:
        """There is always room."""
        return None

    def count_refusal(self, task: str) -> None:
        """Nobody asks."""

    async def answer(self, task: Task, request: Any, of: object = None) -> tuple[BaseModel, Timing]:
        """The last value of each series, a good word for each text, or as many ``x`` as asked for."""
        await self._work()
        return ANSWERS[task.name](request), TIMING

    async def stream(self, task: Task, request: Any, point: ResumePoint | None = None) -> FakeStream:
        """As many ``x``, frame by frame."""
        if self.refuse is not None:
            raise self.refuse
        self.streams.append(FakeStream(request, self.error, self.delay_s))
        return self.streams[-1]

    async def _work(self) -> None:
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error


class FakeEdge:
    """An application around a fake service, with its parts at hand."""

    def __init__(
        self,
        limits: Limits | None = None,
        sessions: SessionEdge | None = None,
        access: AccessRules | None = None,
        protocols: tuple[Protocol, ...] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.service = FakeService()
        self.metrics = Metrics()
        self.lifecycle = Lifecycle()
        self.alive = True
        edge = Edge(
            service=self.service,  # type: ignore[arg-type]  # it answers the same calls
            limits=self.limits,
            tasks=Tasks(TASKS),
            metrics=self.metrics,
            lifecycle=self.lifecycle,
            alive={"fake@1": lambda: self.alive},
            models=SimpleNamespace(),
            sessions=sessions,
            access=access or AccessRules(),
        )
        self.app = assemble(edge, version="test", protocols=protocols)


def _usage(count: int) -> Usage:
    return Usage(prompt_tokens=0, completion_tokens=count, total_tokens=count)
