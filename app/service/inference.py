"""Find, prepare, submit, finish: the one path that every transport takes.

request --task.prepare--> sequences --engine.submit--> events --task.finish--> answer
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.core.errors import RnnserveError, UnknownModel
from app.core.limits import Limits
from app.core.sequence import SequenceRequest
from app.protocols.openai.completion import CompletionOrder, prepare_completions
from app.protocols.openai.completion_stream import CompletionStream
from app.service.call import Call, RequestObserver, Timing, outcome_of
from app.service.catalog import Catalog
from app.service.deployment import Deployment as Deployment
from app.service.generation import GenerationStream, whole_answer
from app.service.resume import ResumePoint, first_point, request_mark
from app.service.run import read_all
from app.tasks.forecast.schema import ForecastAnswer, ForecastRequest
from app.tasks.forecast.task import ForecastTask
from app.tasks.generate.schema import GenerateAnswer, GenerateRequest
from app.tasks.generate.task import GenerateTask
from app.tasks.sentiment.schema import SentimentAnswer, SentimentRequest
from app.tasks.sentiment.task import PreparedSentiment, SentimentTask
from app.tasks.sentiment.text_classification import as_sentiment, classified
from app.tasks.sentiment.text_classification_schema import TextClassification, TextClassificationRequest

# Small enough for every JSON reader to hold a drawn seed exactly.
_SEED_BITS = 53
# Texts of this length are tokenized in about ten milliseconds, which is as long as the loop may stand.
_INLINE_CHARS = 10_000


def draw_seed() -> int:
    """A seed for a request that names none."""
    return secrets.randbits(_SEED_BITS)


_TaskT = TypeVar("_TaskT", ForecastTask, SentimentTask, GenerateTask)


class InferenceService:
    """Answers requests on the served models.

    Args:
        deployments: what is served.
        defaults: task to what serves it when none is named: a name, ``name@version`` or ``name@label``.
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
        self.catalog = Catalog(deployments, defaults)
        self._limits = limits
        self._observe = observe
        self._clock = clock

    def serve(self, catalog: Catalog) -> None:
        """Answer requests that come from now on from another catalog; on the event loop."""
        self.catalog = catalog

    @property
    def deployments(self) -> Mapping[str, Deployment]:
        """Everything served, by ``name@version``; another mapping after each change."""
        return self.catalog.deployments

    @property
    def defaults(self) -> Mapping[str, str]:
        """Task to the reference that serves it when no model is named."""
        return self.catalog.defaults

    def find(self, task: str, model: str | None) -> Deployment:
        """The deployment that a request of ``task`` goes to.

        Raises:
            UnknownModel: there is none of that name, version or task.
        """
        wanted = self.catalog.asked.get(task) if model is None else model
        found = None if wanted is None else self.catalog.find(wanted)
        if found is None or found.manifest.task != task:
            available = tuple(key for key, one in self.deployments.items() if one.manifest.task == task)
            raise UnknownModel(model if model is not None else f"for {task}", available)
        return found

    def full_for_s(self, task: str) -> float | None:
        """For how long every request of a task would be refused, whichever model it names, if at all."""
        waits = []
        for one in self.catalog.deployments.values():
            if one.manifest.task == task:
                wait = one.engine.full_for_s
                if wait is None:
                    return None
                waits.append(wait)
        return min(waits, default=None)

    def count_refusal(self, task: str) -> None:
        """A request of a task was refused for want of capacity before it was known which model it names."""
        self._observe.request(task, "default", "capacity", Timing())

    def find_any(self, model: str) -> Deployment:
        """The deployment of a name or reference, whatever its task.

        Raises:
            UnknownModel: there is none.
        """
        found = self.catalog.find(model)
        if found is None:
            raise UnknownModel(model, tuple(self.deployments))
        return found

    async def forecast(self, request: ForecastRequest) -> tuple[ForecastAnswer, Timing]:
        """Answer a forecast request."""
        call = Call(self._observe, "forecast", request.model)
        with call:
            deployment, task = self._task("forecast", ForecastTask, request.model, call)
            prepared = task.prepare(request)
            outputs = await self._read(deployment, prepared.sequences, call)
            call.read(len(outputs))
            return task.finish(prepared, outputs), call.timing()

    async def sentiment(self, request: SentimentRequest) -> tuple[SentimentAnswer, Timing]:
        """Answer a sentiment request."""
        call = Call(self._observe, "sentiment", request.model)
        with call:
            deployment, task = self._task("sentiment", SentimentTask, request.model, call)
            prepared = await _prepared(task, request, "text")
            outputs = await self._read(deployment, prepared.sequences, call)
            call.read(len(outputs), sum(len(one.steps) for one in prepared.sequences))
            return task.finish(prepared, outputs), call.timing()

    async def classify(self, request: TextClassificationRequest) -> tuple[TextClassification, Timing]:
        """Answer a sentiment request in the shape of a text classification."""
        call = Call(self._observe, "sentiment", request.model)
        with call:
            deployment, task = self._task("sentiment", SentimentTask, request.model, call)
            prepared = await _prepared(task, as_sentiment(request), "inputs")
            outputs = await self._read(deployment, prepared.sequences, call)
            call.read(len(outputs), sum(len(one.steps) for one in prepared.sequences))
            return classified(task.labels, outputs, request.parameters), call.timing()

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
            asked = request.model if point is None else self._begun(request, point)
            deployment, task = self._task("generate", GenerateTask, asked, call)
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

    def _begun(self, request: GenerateRequest, point: ResumePoint) -> str | None:
        """The version that an earlier answer came from: its name may mean another one by now."""
        wanted = self.catalog.asked.get("generate", "") if request.model is None else request.model
        began = (one for one in self.catalog.versions(wanted) if point.request == request_mark(request, one))
        return next(began, request.model)

    async def stream_completions(self, order: CompletionOrder) -> CompletionStream:
        """Start the texts of several prompts, all or none, whose frames are read as they come.

        Raises:
            RnnserveError: the order is refused; nothing was started.
        """
        model = order.requests[0].model
        call = Call(self._observe, "generate", model)
        try:
            deployment, task = self._task("generate", GenerateTask, model, call)
            prepare = partial(prepare_completions, task, order, draw_seed, self._limits)
            prepared = await asyncio.to_thread(prepare) if order.is_large else prepare()
            ticket = deployment.engine.submit(
                prepared.generation.sequences, self.deadline(self._limits.request_timeout_s)
            )
        except RnnserveError as error:
            call.report(outcome_of(error))
            raise
        return CompletionStream(deployment.manifest, task, order, prepared, ticket, call)

    def deadline(self, seconds: float) -> float:
        """The engines' clock, so many seconds from now."""
        return self._clock() + seconds

    def _task(
        self, task: str, kind: type[_TaskT], model: str | None, call: Call
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
        deadline = self.deadline(self._limits.request_timeout_s)
        outputs, usages = await read_all(deployment.engine, sequences, deadline)
        for usage in usages:
            call.add(usage)
        return outputs


async def _prepared(task: SentimentTask, request: SentimentRequest, name: str) -> PreparedSentiment:
    if sum(map(len, request.texts)) <= _INLINE_CHARS:
        return task.prepare(request, name)
    return await asyncio.to_thread(task.prepare, request, name)
