"""A server, for asyncio."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from rnnserve_client.answers import (
    ForecastAnswer,
    GenerateAnswer,
    ModelInfo,
    SentimentAnswer,
    SequenceAnswer,
    SessionInfo,
    Steps,
)
from rnnserve_client.http import Http
from rnnserve_client.problems import Conflict, Problem, problem_of
from rnnserve_client.tables import CSV_TYPE, csv_of, is_table, query_of
from rnnserve_client.texts import Texts

if TYPE_CHECKING:
    from rnnserve_client.line import Line
    from rnnserve_client.session import Session
    from rnnserve_client.tables import Table


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a call brought; see docs/sessions.md."""

    seq: int
    step: int
    outputs: list[dict[str, Any]]


class Client(Http):
    """A server, as ``async with Client("http://localhost:8000") as client``.

    Fields of requests are those of docs/api.md. Every call raises Problem when the server refuses it and
    Unreachable when no server answers.
    """

    async def answer(self, task: str, table: Table | None = None, /, **fields: Any) -> dict[str, Any]:
        """The answer of any task, also of one that this client does not know.

        With a table, the path of a CSV file or what pandas has, the other fields go beside it.
        """
        if table is None:
            answer = await self.ask("POST", f"/{quote(task)}", fields)
        else:
            content = await csv_of(table)
            answer = await self.ask_about(f"/{quote(task)}", content, CSV_TYPE, query_of(fields))
        return dict(answer)

    def stream(self, task: str, /, **fields: Any) -> AsyncGenerator[dict[str, Any], None]:
        """The frames of a task that streams; resumed when the connection breaks."""
        return self.events(f"/{quote(task)}", fields)

    async def forecast(
        self, values: Iterable[float | None] | Table, *, horizon: int, **fields: Any
    ) -> ForecastAnswer:
        """One series, oldest first, ``None`` or NaN where a value is missing; or the series of a table."""
        answer: Any
        if is_table(values):
            answer = await self.answer("forecast", values, horizon=horizon, **fields)
        else:
            if isinstance(values, str):
                raise TypeError(
                    f"values is the text {values!r}; a file is named by a Path, numbers by a list"
                )
            series = cast("Iterable[float | None]", values)
            known = [None if value is None or value != value else float(value) for value in series]
            answer = await self.answer("forecast", values=known, horizon=horizon, **fields)
        forecasts: ForecastAnswer = answer
        return forecasts

    async def sentiment(self, text: str | Iterable[str], **fields: Any) -> SentimentAnswer:
        """The verdict on a text, or on each of several."""
        given = text if isinstance(text, str) else list(text)
        answer: Any = await self.answer("sentiment", text=given, **fields)
        verdicts: SentimentAnswer = answer
        return verdicts

    def generate(self, prompt: str | Sequence[int] = "", **fields: Any) -> Texts:
        """Texts that go on from a prompt: ``await`` gives the answer, ``async for`` its frames."""
        given = prompt if isinstance(prompt, str) else list(prompt)

        async def whole() -> GenerateAnswer:
            answer: Any = await self.answer("generate", prompt=given, **fields)
            texts: GenerateAnswer = answer
            return texts

        return Texts(whole, lambda: self.stream("generate", prompt=given, **fields))

    async def sequence(self, table: Table | None = None, /, **fields: Any) -> SequenceAnswer:
        """The named outputs of a network for sequences of its own columns or tokens."""
        answer: Any = await self.answer("sequence", table, **fields)
        results: SequenceAnswer = answer
        return results

    async def models(self) -> list[ModelInfo]:
        """Every version of every model, those included that do not answer at present."""
        listed: list[ModelInfo] = (await self.ask("GET", "/models"))["models"]
        return listed

    async def model(self, name: str) -> dict[str, Any]:
        """What one model takes, gives and measured; ``name``, ``name@version`` or ``name@label``."""
        described: dict[str, Any] = await self.ask("GET", f"/models/{quote(name, safe='@')}")
        return described

    async def document(self) -> dict[str, Any]:
        """The server's OpenAPI document: what each of its routes takes and answers."""
        document: dict[str, Any] = await self.ask("GET", "/openapi.json")
        return document

    async def create(self, *, id: str | None = None, **fields: Any) -> Session:
        """Open a session; fields as in docs/sessions.md (``task`` or ``model``, ``options``, ...).

        Raises:
            Conflict: the ``id`` is taken. Where the first answer was lost, the session that is there is taken
                for the one that was asked for.
        """
        return await self.opened("/sessions", id, fields)

    async def session(self, id: str) -> Session:
        """A session that exists, wherever it stands."""
        from rnnserve_client.session import Session

        info = await self.ask("GET", f"/sessions/{quote(id, safe='')}")
        return Session(self, info["id"], info["step"])

    async def sessions(self) -> AsyncIterator[SessionInfo]:
        """Every open session."""
        after: str | None = ""
        while after is not None:
            page = await self.ask("GET", "/sessions", query={"after": after})
            for info in page["sessions"]:
                yield info
            after = page["next"]

    async def feed_many(self, calls: Sequence[tuple[Session, Any]]) -> list[StepResult | Problem]:
        """One call on each of many sessions in one request, each answered on its own."""
        steps = [{"id": one.id, "seq": one.step + 1, "inputs": inputs} for one, inputs in calls]
        answer = await self.ask("POST", "/sessions/steps", {"steps": steps})
        results: list[StepResult | Problem] = []
        for (session, _), result in zip(calls, answer["results"], strict=True):
            if "error" in result:
                results.append(problem_of(result["error"]))
            else:
                session.step = result["step"]
                results.append(StepResult(result["seq"], result["step"], result["outputs"]))
        return results

    async def steps(self, **request: Any) -> Steps:
        """Steps on a state that you carry: ``POST /steps``."""
        answer: Steps = await self.ask("POST", "/steps", request)
        return answer

    def connect(self) -> Line:
        """A connection that carries events of many sessions, as ``async with client.connect() as line``."""
        from rnnserve_client.line import Line

        return Line(self.url, self.retry, self.headers)

    async def opened(self, path: str, id: str | None, fields: Mapping[str, Any]) -> Session:
        """Create under an id that is known beforehand, so that a lost answer is not a lost session."""
        from rnnserve_client.session import Session

        wanted = id or secrets.token_hex(18)
        try:
            info = await self.ask("POST", path, {**fields, "id": wanted})
        except Conflict as error:
            if id is not None and error.attempts == 1:
                raise
            info = await self.ask("GET", f"/sessions/{wanted}")  # an earlier attempt made it
        return Session(self, info["id"], info["step"])
