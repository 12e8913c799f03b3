"""The same for code without asyncio: every call returns when it is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rnnserve_client.answers import (
    ForecastAnswer,
    GenerateAnswer,
    ModelInfo,
    SentimentAnswer,
    SequenceAnswer,
    SessionForecast,
    SessionInfo,
    SnapshotInfo,
    Steps,
)
from rnnserve_client.client import Client, StepResult
from rnnserve_client.loop_thread import LoopThread
from rnnserve_client.problems import Problem
from rnnserve_client.retry import Retry
from rnnserve_client.session import Session

if TYPE_CHECKING:
    from rnnserve_client.tables import Table


class SyncClient:
    """A server, as ``with SyncClient("http://localhost:8000") as client``; threads may share it.

    Its arguments and methods are those of :class:`Client`, where they are described.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout_s: float = 60.0, retry: Retry = Retry()
    ) -> None:
        self._client = Client(url, key=key, timeout_s=timeout_s, retry=retry)
        self._loop = LoopThread()

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; sessions live on. Afterwards calls raise RuntimeError."""
        if self._loop.running:
            self._loop.run(self._client.close())
            self._loop.stop()

    def answer(self, task: str, table: Table | None = None, /, **fields: Any) -> dict[str, Any]:
        return self._loop.run(self._client.answer(task, table, **fields))

    def stream(self, task: str, /, **fields: Any) -> Iterator[dict[str, Any]]:
        return self._loop.iterate(self._client.stream(task, **fields))

    def forecast(
        self, values: Iterable[float | None] | Table, *, horizon: int, **fields: Any
    ) -> ForecastAnswer:
        return self._loop.run(self._client.forecast(values, horizon=horizon, **fields))

    def sentiment(self, text: str | Iterable[str], **fields: Any) -> SentimentAnswer:
        return self._loop.run(self._client.sentiment(text, **fields))

    def generate(self, prompt: str | Sequence[int] = "", **fields: Any) -> GenerateAnswer:
        return self._loop.run(self._client.generate(prompt, **fields))

    def sequence(self, table: Table | None = None, /, **fields: Any) -> SequenceAnswer:
        return self._loop.run(self._client.sequence(table, **fields))

    def models(self) -> list[ModelInfo]:
        return self._loop.run(self._client.models())

    def model(self, name: str) -> dict[str, Any]:
        return self._loop.run(self._client.model(name))

    def document(self) -> dict[str, Any]:
        return self._loop.run(self._client.document())

    def create(self, *, id: str | None = None, **fields: Any) -> SyncSession:
        return SyncSession(self._loop, self._loop.run(self._client.create(id=id, **fields)))

    def session(self, id: str) -> SyncSession:
        return SyncSession(self._loop, self._loop.run(self._client.session(id)))

    def sessions(self) -> Iterator[SessionInfo]:
        return self._loop.iterate(self._client.sessions())

    def feed_many(self, calls: Sequence[tuple[SyncSession, Any]]) -> list[StepResult | Problem]:
        fed = [(session.session, inputs) for session, inputs in calls]
        return self._loop.run(self._client.feed_many(fed))

    def steps(self, **request: Any) -> Steps:
        return self._loop.run(self._client.steps(**request))


class SyncSession:
    """A session, made by :class:`SyncClient`; the methods are those of :class:`Session`.

    Attributes:
        session: the one that it waits for.
    """

    def __init__(self, loop: LoopThread, session: Session) -> None:
        self._loop = loop
        self.session = session

    @property
    def id(self) -> str:
        return self.session.id

    @property
    def step(self) -> int:
        """Steps applied so far."""
        return self.session.step

    def feed(self, inputs: Any) -> StepResult:
        return self._loop.run(self.session.feed(inputs))

    def info(self) -> SessionInfo:
        return self._loop.run(self.session.info())

    def refresh(self) -> int:
        return self._loop.run(self.session.refresh())

    def answer(self, action: str, /, **fields: Any) -> dict[str, Any]:
        return self._loop.run(self.session.answer(action, **fields))

    def frames(self, action: str, /, **fields: Any) -> Iterator[dict[str, Any]]:
        return self._loop.iterate(self.session.frames(action, **fields))

    def forecast(self, horizon: int, **fields: Any) -> SessionForecast:
        return self._loop.run(self.session.forecast(horizon, **fields))

    def generate(self, prompt: str = "", *, advance: bool = False, **fields: Any) -> GenerateAnswer:
        return self._loop.run(self.session.generate(prompt, advance=advance, **fields))

    def stream(self, prompt: str = "", *, advance: bool = False, **fields: Any) -> Iterator[dict[str, Any]]:
        return self._loop.iterate(self.session.stream(prompt, advance=advance, **fields))

    def fork(self, *, id: str | None = None, **fields: Any) -> SyncSession:
        return SyncSession(self._loop, self._loop.run(self.session.fork(id=id, **fields)))

    def snapshot(self, name: str) -> None:
        self._loop.run(self.session.snapshot(name))

    def snapshots(self) -> list[SnapshotInfo]:
        return self._loop.run(self.session.snapshots())

    def rewind(self, to: str | int) -> int:
        return self._loop.run(self.session.rewind(to))

    def migrate(self, model: str) -> None:
        self._loop.run(self.session.migrate(model))

    def state(self) -> str:
        return self._loop.run(self.session.state())

    def close(self) -> None:
        self._loop.run(self.session.close())
