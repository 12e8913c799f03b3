"""A service on bundles of a folder with real engines, as the composition root builds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.bundle.reader import find_bundles, read_bundle
from app.core.limits import Limits
from app.engine.engine import Engine
from app.engine.load import QueueLimits, SchedulerLimits
from app.registered import TASKS
from app.runtime.executor import GraphExecutor
from app.runtime.session import GraphSession
from app.service.call import Timing
from app.service.catalog import Catalog, Deployment
from app.service.inference import InferenceService
from app.service.stream import TaskStream
from app.sessions.limits import SessionLimits
from app.sessions.portable import StateSigner
from app.sessions.service import SessionService
from app.sessions.stores.store import SessionStore
from app.sessions.stores.worker import StoreWorker
from app.tasks.decoded.resume import ResumePoint
from app.tasks.forecast.schema import ForecastRequest
from app.tasks.generate.schema import GenerateRequest
from app.tasks.sentiment.schema import SentimentRequest
from app.tasks.task import Tasks

BY_NAME = {task.name: task for task in TASKS}
DEFAULTS = {"forecast": "tiny-series-lstm@1", "sentiment": "tiny-mood-gru@1", "generate": "tiny-text-lstm@1"}
REGISTERED = Tasks(TASKS)
LIMITS = Limits(request_timeout_s=20)
QUEUE = QueueLimits()
SESSION_LIMITS = SessionLimits()


@dataclass
class Counts:
    """Remembers what it is told."""

    requests: list[tuple[str, str, str]] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    steps: int = 0
    firsts: int = 0
    later: int = 0
    produced: int = 0
    ends: list[str] = field(default_factory=list)
    texts: list[tuple[int, int | None]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def request(self, task: str, model: str, outcome: str, timing: Timing) -> None:
        """One request ended."""
        assert timing.total_s >= timing.queue_s >= 0
        self.requests.append((task, model, outcome))

    def first_token(self, model: str, seconds: float) -> None:
        """A first token came."""
        self.firsts += 1

    def tokens(self, model: str, count: int, seconds: float) -> None:
        """Further tokens came."""
        self.later += count

    def generated(self, model: str, count: int) -> None:
        """Tokens came, the first ones included."""
        self.produced += count

    def ended(self, model: str, reason: str, count: int = 1) -> None:
        """Sequences ended well."""
        self.ends += [reason] * count

    def text(self, model: str, prompt: int, produced: int | None) -> None:
        """A request on text ended well."""
        self.texts.append((prompt, produced))

    def session_calls(self, ok: int, failed: Sequence[str], seconds: float) -> None:
        """Step calls ended."""
        assert seconds >= 0
        self.calls += ["ok"] * ok + list(failed)

    def session(self, event: str, count: int = 1) -> None:
        """Something happened to sessions."""
        self.sessions += [event] * count

    def session_steps(self, model: str, count: int) -> None:
        """Steps were stored."""
        self.steps += count


@dataclass
class Rig:
    """A service and what it was built from."""

    service: InferenceService
    counts: Counts
    engines: list[Engine]

    async def forecast(self, request: ForecastRequest) -> tuple[Any, Timing]:
        """The answer of the forecaster."""
        return await self.service.answer(BY_NAME["forecast"], request)

    async def sentiment(self, request: SentimentRequest) -> tuple[Any, Timing]:
        """The answer of the classifier."""
        return await self.service.answer(BY_NAME["sentiment"], request)

    async def generate(self, request: GenerateRequest) -> tuple[Any, Timing]:
        """The whole answer of the language model."""
        return await self.service.answer(BY_NAME["generate"], request)

    async def stream(self, request: GenerateRequest, point: ResumePoint | None = None) -> TaskStream:
        """Its frames."""
        return await self.service.stream(BY_NAME["generate"], request, point)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued anywhere."""
        return all(engine.load().sequences == 0 and engine.load().steps == 0 for engine in self.engines)


@asynccontextmanager
async def inference(
    folder: Path, limits: Limits = LIMITS, queue: QueueLimits = QUEUE, tasks: Tasks = REGISTERED
) -> AsyncIterator[Rig]:
    """All bundles of a folder, served until the end of the block."""
    engines: list[Engine] = []
    deployments = []
    for path in find_bundles(folder):
        bundle = read_bundle(path)
        scheduling = SchedulerLimits(num_slots=16)
        executor = GraphExecutor(
            GraphSession(bundle.graph, bundle.manifest), bundle.start, scheduling.num_slots
        )
        engine = Engine(bundle.manifest.reference, executor, scheduling, queue)
        engine.start(asyncio.get_running_loop())
        engines.append(engine)
        deployments.append(Deployment(bundle.manifest, *tasks.open(bundle), engine))
    counts = Counts()
    try:
        service = InferenceService(limits, counts)
        service.serve(Catalog(deployments, DEFAULTS))
        yield Rig(service, counts, engines)
    finally:
        for engine in engines:
            engine.close()


@asynccontextmanager
async def sessions(
    rig: Rig,
    store: SessionStore,
    limits: SessionLimits = SESSION_LIMITS,
    clock: Callable[[], float] | None = None,
    secret: bytes = b"secret",
) -> AsyncIterator[SessionService]:
    """Sessions of a rig in a store, which is closed at the end of the block."""
    worker = StoreWorker(store)
    worker.start(asyncio.get_running_loop())
    try:
        yield SessionService(rig.service, worker, StateSigner(secret), limits, rig.counts, clock or time.time)
    finally:
        await worker.close()
