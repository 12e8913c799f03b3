"""Sessions for a load: made before it, ended after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import orjson

from rnnserve_bench.http_line import HttpLine

_LINES = 16


async def open_sessions(
    url: str, ids: Sequence[str], body: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> None:
    """Make sessions of these ids.

    Args:
        url: of the server.
        ids: of the sessions.
        body: of the request beside the id, such as ``{"model": "forecaster"}``.
        headers: of each request.

    Raises:
        ConnectionError: a session was refused, or the server cannot be reached.
    """

    async def make(line: HttpLine, mine: Sequence[str]) -> None:
        for id in mine:
            status, answer = await line.ask("POST", "/sessions", orjson.dumps({**body, "id": id}))
            if status != 201:
                raise ConnectionError(
                    f"POST /sessions answered {status}: {answer[:300].decode(errors='replace')}"
                )

    await _spread(url, ids, make, headers)


async def close_sessions(url: str, ids: Sequence[str], headers: Mapping[str, str] | None = None) -> None:
    """End sessions, those that are there."""

    async def end(line: HttpLine, mine: Sequence[str]) -> None:
        for id in mine:
            await line.ask("DELETE", f"/sessions/{id}")

    await _spread(url, ids, end, headers)


async def _spread(
    url: str,
    ids: Sequence[str],
    work: Callable[[HttpLine, Sequence[str]], Coroutine[Any, Any, None]],
    headers: Mapping[str, str] | None,
) -> None:
    lines = [HttpLine(url, headers) for _ in range(min(_LINES, len(ids)))]
    try:
        await asyncio.gather(*(work(line, ids[index :: len(lines)]) for index, line in enumerate(lines)))
    finally:
        for line in lines:
            line.close()
