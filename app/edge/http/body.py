"""Reading a request's body within its bounds, and noticing that the client has gone."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

from starlette.types import Receive, Scope

from app.core.errors import DeadlineExceeded, InvalidInput, PayloadTooLarge, UnsupportedMedia, over_limit
from app.core.json_values import num_values
from app.core.offload import offloaded
from app.edge.edge import Edge
from app.edge.http.large_bodies import LARGE_BYTES
from app.edge.http.transports import ARRIVED, ON_LOST

T = TypeVar("T")

JSON_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain", "")
"""Read as JSON: the second is what ``curl -d`` says of anything unless told otherwise."""

UNTOLD_TYPES = (*JSON_TYPES[1:], "application/octet-stream")
"""What clients say of a body that they know nothing of: nothing, too."""

PLAIN = b'{"'
"""How most JSON begins: in UTF-8, with no mark before it."""
_MARKS = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
"""What may stand before the first letter of a text, in any encoding of Unicode."""

MOST_VALUES = 2**21
"""Of a JSON body, weighted; with larger bodies allowed more."""

# What clients send as "deflate" is zlib's own form of it.
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_ENCODINGS = ("identity", *_WINDOW_BITS)
_INFLATED_BYTES_PER_MS = 200_000


class ClientGone(Exception):
    """The client closed the connection before it was answered."""


@dataclass(slots=True, eq=False)
class Head:
    """What a request says of its body, in lower case; empty, and 0 for ``length``, where it says nothing."""

    media_type: str = ""
    encoding: str = ""
    length: int = 0


def head_of(scope: Scope) -> Head:
    """In one pass; of repeated headers the last counts."""
    media_type, encoding, length = b"", b"", b"0"
    for name, value in scope["headers"]:
        if name == b"content-type":
            media_type = value
        elif name == b"content-length":
            length = value
        elif name == b"content-encoding":
            encoding = value
    return Head(
        media_type.partition(b";")[0].strip().lower().decode("latin-1"),
        encoding.strip().lower().decode("latin-1"),
        int(length) if length.isdigit() else 0,
    )


def is_json(content_type: str) -> bool:
    return content_type in JSON_TYPES or content_type.endswith("+json")


def looks_like_json(body: bytes) -> bool:
    return body[:64].lstrip(_MARKS).startswith((b"{", b"["))


async def json_text(body: bytes, edge: Edge) -> bytes:
    """JSON in UTF-8 without a mark before it, which can be parsed in one piece.

    Raises InvalidInput, also where it holds more than may be parsed.
    """
    if len(body) < LARGE_BYTES:
        return _in_utf8(body)
    text, found = await asyncio.to_thread(_checked, body, max(MOST_VALUES, edge.limits.max_body_bytes // 8))
    await edge.large_bodies.pace(found)
    return text


def _checked(body: bytes, most: int) -> tuple[bytes, int]:
    text = _in_utf8(body)
    found = num_values(text, most)
    if found > most:
        heavy = "a list or an object counting as 4, and a key of an object as 8"
        raise over_limit("body", most, f"the body may hold {most} values, not {found}; {heavy}")
    return text, found


def _in_utf8(body: bytes) -> bytes:
    """The other encodings of Unicode are known by their first bytes; zeros are in none."""
    if body[:4] == bytes(4):
        return body
    if body[:1] in (b"{", b"[") and body[1:2] != b"\0":
        return body
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        raise InvalidInput("body", f"the body begins like {encoding}, and is not in it") from None


async def read_body(
    scope: Scope, receive: Receive, limit_bytes: int, timeout_s: float, absent: bytes | None = None
) -> tuple[Head, bytes]:
    """The whole body, as it came; ``absent`` stands for an empty one.

    Raises UnsupportedMedia, PayloadTooLarge (at once, with the rest unread), InvalidInput, DeadlineExceeded
    when it did not arrive in time, and ClientGone.
    """
    head = head_of(scope)
    if head.encoding and head.encoding not in _ENCODINGS:
        raise UnsupportedMedia(f"content-encoding {head.encoding}", _ENCODINGS)
    if head.length > limit_bytes:
        raise PayloadTooLarge(limit_bytes)
    if scope.get("extensions", {}).get(ARRIVED):
        body = await _collect(receive, limit_bytes)
    else:
        try:
            async with asyncio.timeout(timeout_s):
                body = await _collect(receive, limit_bytes)
        except TimeoutError:
            raise DeadlineExceeded(f"the body did not arrive within {timeout_s:g} seconds") from None
    if not body:
        if absent is None:
            raise InvalidInput("body", "the body is empty")
        return Head(head.media_type), absent
    return head, body


async def unpacked(head: Head, body: bytes, limit_bytes: int) -> bytes:
    """The body as it was before it was compressed; raises InvalidInput, PayloadTooLarge."""
    if head.encoding not in _WINDOW_BITS:
        return body
    # A body of zeros is a thousandth of its size on its way.
    cost_ms = min(limit_bytes, 1000 * len(body)) / _INFLATED_BYTES_PER_MS
    return await offloaded(cost_ms, _inflated, body, head.encoding, limit_bytes)


def _inflated(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = stream.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise InvalidInput("body", f"the body is not of content-encoding {encoding}") from error
    if len(plain) > limit_bytes:
        raise PayloadTooLarge(limit_bytes)
    if not stream.eof or stream.unused_data:
        raise InvalidInput("body", f"the body is not one whole stream of content-encoding {encoding}")
    return plain


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


async def while_connected(scope: Scope, receive: Receive, work: Coroutine[object, object, T]) -> T:
    """Await ``work``; raises ClientGone, and cancels it, as soon as the client closes the connection."""
    task = asyncio.current_task()
    assert task is not None
    gone = False

    def lost() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    stop_watching = _watch(scope, receive, lost)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        stop_watching()


def _watch(scope: Scope, receive: Receive, lost: Callable[[], None]) -> Callable[[], object]:
    """Have ``lost`` called when the client closes the connection; returns what ends that."""
    on_lost = scope.get("extensions", {}).get(ON_LOST)
    if on_lost is not None:
        on_lost(lost)
        return lambda: on_lost(None)

    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        lost()

    return asyncio.create_task(wait()).cancel
