"""Find, prepare, submit, finish: the one path that every transport takes.

request --task.prepare--> sequences --engine.submit--> events --task.finish--> answer
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.bundle.manifest import Manifest, Task
from app.core.errors import RnnserveError, UnknownModel
from app.core.ports import Submitter
from app.core.sequence import Failed, Finished, Outputs, SequenceRequest
from app.schemas.forecast import ForecastAnswer, ForecastRequest
from app.schemas.generate import GenerateAnswer, GenerateRequest
from app.schemas.limits import Limits
from app.schemas.sentiment import SentimentAnswer, SentimentRequest
from app.service.call import Call, RequestObserver, Timing, outcome_of
from app.service.generation import GenerationStream, whole_answer
from app.service.resume import ResumePoint, first_point
from app.tasks.forecast import ForecastTask
from app.tasks.forecast_stream import ForecastStream
from app.tasks.generate import GenerateTask
from app.tasks.sentiment import SentimentTask
from app.tasks.text_stream import GenerateStream, SentimentStream

# Small enough for every JSON reader to hold a drawn seed exactly.
_SEED_BITS = 53


def draw_seed() -> int:
    """A seed for a request that names none."""
    return secrets.randbits(_SEED_BITS)


_TaskT = TypeVar("_TaskT", ForecastTask, SentimentTask, GenerateTask)


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One served model version."""

    manifest: Manifest
    task: ForecastTask | SentimentTask | GenerateTask
    stream: ForecastStream | SentimentStream | GenerateStream
    engine: Submitter


class InferenceService:
    """Answers requests on the served models.

    Args:
        deployments: what is served.
        defaults: task to the reference (``name@version``) that serves it when none is named.
        limits: the request's deadline is the one read here.
        observe: counts.
        clock: monotonic seconds, the engines' own.
    """

    def __init__(
        self,
        deployments: Iterable[Deployment],
        defaults: Mapping[str, str],
        limits: Limits,
        observe: RequestObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployments = {one.manifest.reference: one for one in deployments}
        # A name alone means its newest version; the registry lists versions in ascending order.
        self._newest = {one.manifest.name: one for one in self._deployments.values()}
        self._defaults = dict(defaults)
        self._limits = limits
        self._observe = observe
        self._clock = clock

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """Everything served, by ``name@version``."""
        return self._deployments

    @property
    def defaults(self) -> Mapping[str, str]:
        """Task to the reference that serves it when no model is named."""
        return self._defaults

    def find(self, task: Task, model: str | None) -> Deployment:
        """The deployment that a request of ``task`` goes to.

        Raises:
            UnknownModel: there is none of that name, version or task.
        """
        wanted = self._defaults.get(task) if model is None else model
        found = None if wanted is None else self._deployments.get(wanted) or self._newest.get(wanted)
        if found is None or found.manifest.task != task:
            available = tuple(key for key, one in self._deployments.items() if one.manifest.task == task)
            raise UnknownModel(model if model is not None else f"for {task}", available)
        return found

    def find_any(self, model: str) -> Deployment:
        """The deployment of a name or reference, whatever its task.

        Raises:
            UnknownModel: there is none.
        """
        found = self._deployments.get(model) or self._newest.get(model)
        if found is None:
            raise UnknownModel(model, tuple(self._deployments))
        return found

    async def forecast(self, request: ForecastRequest) -> tuple[ForecastAnswer, Timing]:
        """Answer a forecast request."""
        call = Call(self._observe, "forecast", request.model)
        with call:
            deployment, task = self._task("forecast", ForecastTask, request.model, call)
            prepared = task.prepare(request)
            outputs = await self._read(deployment, prepared.sequences, call)
            return task.finish(prepared, outputs), call.timing()

    async def sentiment(self, request: SentimentRequest) -> tuple[SentimentAnswer, Timing]:
        """Answer a sentiment request."""
        call = Call(self._observe, "sentiment", request.model)
        with call:
            deployment, task = self._task("sentiment", SentimentTask, request.model, call)
            prepared = task.prepare(request)
            outputs = await self._read(deployment, prepared.sequences, call)
            return task.finish(prepared, outputs), call.timing()

    async def generate(self, request: GenerateRequest) -> tuple[GenerateAnswer, Timing]:
        """Answer a generation request as a whole."""
        stream = self.stream_generate(request)
        return await whole_answer(aiter(stream), request), stream.timing()

    def stream_generate(self, request: GenerateRequest, point: ResumePoint | None = None) -> GenerationStream:
        """Start a generation whose frames are read as they come.

        Args:
            request: what to continue, and how.
            point: go on behind this place of an earlier answer to the same request.

        Raises:
            RnnserveError: the request is refused; nothing was started.
        """
        call = Call(self._observe, "generate", request.model)
        try:
            deployment, task = self._task("generate", GenerateTask, request.model, call)
            model = deployment.manifest.reference
            if point is not None:
                point.check(request, model)
            prepared = task.prepare(request, draw_seed() if point is None else point.seed)
            point = point or first_point(request, model, prepared.seed)
            ticket = deployment.engine.submit(
                prepared.sequences, self.deadline(self._limits.request_timeout_s)
            )
        except RnnserveError as error:
            call.report(outcome_of(error))
            raise
        return GenerationStream(model, task, prepared, ticket, call, point)

    def deadline(self, seconds: float) -> float:
        """The engines' clock, so many seconds from now."""
        return self._clock() + seconds

    def _task(
        self, task: Task, kind: type[_TaskT], model: str | None, call: Call
    ) -> tuple[Deployment, _TaskT]:
        deployment = self.find(task, model)
        call.model = deployment.manifest.reference
        if not isinstance(deployment.task, kind):
            raise AssertionError("a deployment's task is its manifest's. This is a bug.")
        return deployment, deployment.task

    async def _read(
        self, deployment: Deployment, sequences: list[SequenceRequest], call: Call
    ) -> list[NDArray[np.float32]]:
        """Run sequences to their end and return the first output of each, all read steps joined."""
        parts: list[list[NDArray[np.float32]]] = [[] for _ in sequences]
        ticket = deployment.engine.submit(sequences, self.deadline(self._limits.request_timeout_s))
        left = len(sequences)
        try:
            while left:
                for index, event in await ticket.events():
                    if isinstance(event, Outputs):
                        parts[index].append(event.values[0])
                    elif isinstance(event, Failed):
                        raise event.error
                    elif isinstance(event, Finished):
                        call.add(event.usage)
                        left -= 1
        finally:
            ticket.cancel()
        return [part[0] if len(part) == 1 else np.concatenate(part) for part in parts]
