"""Requests over HTTP, sent again where that is safe."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2

from rnnserve_client.problems import Conflict, Problem, Unreachable, problem_of

if TYPE_CHECKING:
    from rnnserve_client.line import Line
    from rnnserve_client.session import Session

AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may be answered."""

_LONGEST_RETRY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast to try again.

    Attributes:
        attempts: the first included.
        first_s: the pause after the first; it doubles.
        longest_s: the longest pause.
    """

    attempts: int = 10
    first_s: float = 0.05
    longest_s: float = 2.0

    def pause_s(self, attempt: int, asked_s: float = 0.0) -> float:
        """The pause after a failed attempt, the first being 0; at least what the server asked for."""
        longest = min(self.longest_s, self.first_s * 2.0**attempt)
        return max(min(asked_s, _LONGEST_RETRY_AFTER_S), random.uniform(longest / 2, longest))


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a call brought; see docs/sessions.md."""

    seq: int
    step: int
    outputs: list[dict[str, Any]]


class Client:
    """A server, as ``async with Client("http://localhost:8000") as client``.

    Args:
        url: where it listens.
        key: an API key, where the server asks for one.
        timeout_s: of one request.
        retry: how often a request is sent again, when that is safe.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout_s: float = 60.0, retry: Retry = Retry()
    ) -> None:
        self.url = url.rstrip("/")
        self.retry = retry
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(base_url=self.url, timeout=timeout_s, headers=self._headers)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; sessions live on."""
        await self._http.aclose()

    async def create(self, *, id: str | None = None, **fields: Any) -> Session:
        """Open a session; fields as in docs/sessions.md (``task`` or ``model``, ``options``, ...)."""
        return await self.opened("/sessions", id, fields)

    async def session(self, id: str) -> Session:
        """A session that exists, wherever it stands."""
        from rnnserve_client.session import Session

        info = await self.ask("GET", f"/sessions/{id}")
        return Session(self, info["id"], info["step"])

    async def sessions(self) -> AsyncIterator[dict[str, Any]]:
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

    async def steps(self, **request: Any) -> dict[str, Any]:
        """Steps on a state that you carry: ``POST /steps``."""
        answer: dict[str, Any] = await self.ask("POST", "/steps", request)
        return answer

    def generate(self, **request: Any) -> AsyncIterator[dict[str, Any]]:
        """Frames of ``POST /generate``, resumed when the connection breaks."""
        return self.events("/generate", request)

    def connect(self) -> Line:
        """A connection that carries events of many sessions, as ``async with client.connect() as line``."""
        from rnnserve_client.line import Line

        return Line(self.url, self.retry, self._headers)

    async def opened(self, path: str, id: str | None, fields: Mapping[str, Any]) -> Session:
        """Create under an id that is known beforehand, so that a lost answer is not a lost session."""
        from rnnserve_client.session import Session

        wanted = id or secrets.token_hex(18)
        try:
            info = await self.ask("POST", path, {**fields, "id": wanted})
        except Conflict:
            if id is not None:
                raise
            info = await self.ask("GET", f"/sessions/{wanted}")  # an earlier attempt made it
        return Session(self, info["id"], info["step"])

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] = {}
    ) -> Any:
        """A request that may be sent any number of times, and its answer.

        Raises:
            Problem: the server refused it.
            Unreachable: the server did not answer.
        """
        failure: Exception | None = None
        asked_s = 0.0
        for attempt in range(self.retry.attempts):
            if attempt:
                await asyncio.sleep(self.retry.pause_s(attempt - 1, asked_s))
            try:
                response = await self._http.request(method, path, json=body, params=dict(query))
            except httpx2.TransportError as error:
                failure, asked_s = error, 0.0
                continue
            if response.is_success:
                return response.json() if response.content else None
            failure = _problem(response.status_code, response.content)
            if response.status_code not in AGAIN:
                raise failure
            asked_s = float(response.headers.get("retry-after", "0"))
        if isinstance(failure, Problem):
            raise failure
        raise Unreachable(f"{method} {path}: no answer in {self.retry.attempts} attempts") from failure

    async def events(self, path: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Frames of a generation up to the done frame; a broken connection is resumed."""
        last = ""
        attempt = 0
        while attempt < self.retry.attempts:
            if attempt:
                await asyncio.sleep(self.retry.pause_s(attempt - 1))
            attempt += 1
            headers = {"last-event-id": last} if last else {}
            try:
                async with self._http.stream(
                    "POST", path, json={**request, "stream": True}, headers=headers
                ) as response:
                    if not response.is_success:
                        problem = _problem(response.status_code, await response.aread())
                        if response.status_code not in AGAIN:
                            raise problem
                        continue
                    async for place, frame in _frames(response.aiter_lines()):
                        if frame["type"] == "error":
                            if frame["status"] not in AGAIN:
                                raise problem_of(frame)
                            break
                        last, attempt = place, 1
                        yield frame
                        if frame["type"] == "done":
                            return
            except httpx2.TransportError:
                continue
        raise Unreachable(f"POST {path}: the stream broke {self.retry.attempts} times")


async def _frames(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as (id, frame)."""
    place = ""
    async for line in lines:
        if line.startswith("id: "):
            place = line[4:]
        elif line.startswith("data: "):
            yield place, json.loads(line[6:])


def _problem(status: int, content: bytes) -> Problem:
    try:
        document = json.loads(content)
    except ValueError:
        document = {}
    return problem_of({"status": status, **document} if isinstance(document, dict) else {"status": status})
