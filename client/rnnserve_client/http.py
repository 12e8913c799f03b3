"""Requests over HTTP, sent again where that is safe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

from rnnserve_client.problems import Problem, Unreachable, problem_of
from rnnserve_client.retry import AGAIN, Retry, asked_pause_s


class Http:
    """Requests to one server.

    Args:
        url: where it listens.
        key: an API key, where the server asks for one.
        timeout_s: of one request.
        retry: how often a request is sent again, when that is safe.

    Raises:
        ValueError: ``url`` is not like ``http://localhost:8000``.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout_s: float = 60.0, retry: Retry = Retry()
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url is {url!r}; it must be like http://localhost:8000")
        self.url = url.rstrip("/")
        self.retry = retry
        self.headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(base_url=self.url, timeout=timeout_s, headers=self.headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; sessions live on."""
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] = {}
    ) -> Any:
        """A request that may be sent any number of times, and its answer.

        Raises:
            Problem: the server refused it.
            Unreachable: the server did not answer.
            ValueError, TypeError: the body is no JSON; NaN and infinity are none.
        """
        if body is None:
            return await self._answer(method, path, query, {})
        return await self._answer(method, path, query, _json(path, body))

    async def ask_about(
        self, path: str, content: bytes, content_type: str, query: Mapping[str, str] = {}
    ) -> Any:
        """The same for a POST whose body is a file."""
        headers = {"content-type": content_type}
        return await self._answer("POST", path, query, {"content": content, "headers": headers})

    async def _answer(self, method: str, path: str, query: Mapping[str, str], sent: dict[str, Any]) -> Any:
        failure: Exception | None = None
        asked_s = 0.0
        for attempt in range(self.retry.attempts):
            if attempt:
                await asyncio.sleep(self.retry.pause_s(attempt - 1, asked_s))
            try:
                response = await self._http.request(method, path, params=dict(query), **sent)
            except httpx2.TransportError as error:
                failure, asked_s = error, 0.0
                continue
            if response.is_success:
                return _decoded(response)
            failure = _problem(response.status_code, response.content)
            failure.attempts = attempt + 1
            if not _may_pass(failure):
                raise failure
            asked_s = asked_pause_s(response.headers)
        raise self._given_up(f"{method} {path}", failure) from failure

    async def events(self, path: str, request: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Frames of an answer that streams, up to the done frame; a broken connection is resumed.

        Raises:
            Problem: the server refused it.
            Unreachable: the server did not answer, or broke off time after time without a further frame.
        """
        sent = _json(path, {**request, "stream": True})
        last = ""
        attempt = 0
        failure: Exception | None = None
        asked_s = 0.0
        while attempt < self.retry.attempts:
            if attempt:
                await asyncio.sleep(self.retry.pause_s(attempt - 1, asked_s))
            attempt += 1
            headers = sent["headers"] | ({"last-event-id": last} if last else {})
            try:
                async with self._http.stream(
                    "POST", path, content=sent["content"], headers=headers
                ) as response:
                    if not response.is_success:
                        failure = _problem(response.status_code, await response.aread())
                        if not _may_pass(failure):
                            raise failure
                        asked_s = asked_pause_s(response.headers)
                        continue
                    async for place, frame in _frames(response.aiter_lines()):
                        if frame["type"] == "error":
                            failure = problem_of(frame)
                            if frame["status"] not in AGAIN:
                                raise failure
                            asked_s = frame.get("retry_after_s") or 0.0
                            break
                        last, attempt = place, 1
                        yield frame
                        if frame["type"] == "done":
                            return
            except httpx2.TransportError as error:
                failure, asked_s = error, 0.0
        raise self._given_up(f"POST {path}", failure) from failure

    def _given_up(self, request: str, failure: Exception | None) -> Exception:
        if isinstance(failure, Problem):
            return failure
        why = f": {failure}" if str(failure or "") else ""
        return Unreachable(f"{self.url}: {request} was not answered in {self.retry.attempts} attempts{why}")


def _may_pass(problem: Problem) -> bool:
    """A proxy that has lost a server may say 500; a server's own 500 is a problem with a name."""
    return problem.status in AGAIN or (problem.status >= 500 and not problem.name)


def _json(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: the request cannot be written as JSON: {error}") from error
    return {"content": content, "headers": {"content-type": "application/json"}}


async def _frames(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as (id, frame)."""
    place = ""
    async for line in lines:
        if line.startswith("id: "):
            place = line[4:]
        elif line.startswith("data: "):
            yield place, json.loads(line[6:])


def _decoded(response: httpx2.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError as error:
        kind = response.headers.get("content-type", "no type")
        raise Unreachable(f"{response.url} answered with {kind}, not with JSON: no rnnserve there") from error


def _problem(status: int, content: bytes) -> Problem:
    try:
        document = json.loads(content)
    except ValueError:
        document = {}
    return problem_of({"status": status, **document} if isinstance(document, dict) else {"status": status})
