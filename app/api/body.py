"""Reading a request's body within its bounds, and noticing that the client has gone.

receive --> chunks --limit, deadline--> bytes --one pass of pydantic-core--> request
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from starlette.requests import Request
from starlette.types import Receive

from app.core.errors import DeadlineExceeded, InvalidInput, PayloadTooLarge

T = TypeVar("T")

JSON_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain", "")
"""Read as JSON: the second is what ``curl -d`` says of anything unless told otherwise."""


class ClientGone(Exception):
    """The client closed the connection before it was answered."""


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case; empty when there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a body of this type is read as JSON."""
    return content_type in JSON_TYPES or content_type.endswith("+json")


async def read_body(request: Request, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        PayloadTooLarge: it is announced as larger than the limit, or turns out so; in both cases
            at once, with the rest unread.
        InvalidInput: it is empty.
        DeadlineExceeded: it did not arrive in time.
        ClientGone: the client closed the connection.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise PayloadTooLarge(limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            body = await _collect(request.receive, limit_bytes)
    except TimeoutError:
        raise DeadlineExceeded(f"the body did not arrive within {timeout_s:g} seconds") from None
    if not body:
        raise InvalidInput("body", "the body is empty")
    return body


async def _collect(receive: Receive, limit_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise PayloadTooLarge(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def while_connected(receive: Receive, work: Coroutine[object, object, T]) -> T:
    """Await ``work``, and cancel it as soon as the client closes the connection.

    Args:
        receive: of a request whose body has been read, so that only a disconnect can come.
        work: what is given up.

    Raises:
        ClientGone: the client closed the connection first.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()
