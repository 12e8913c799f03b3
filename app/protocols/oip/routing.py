"""The route class of ``/v2``: a body may be absent, compressed, or JSON with tensors' bytes behind it.

body --inflate, bounded--> bytes --Inference-Header-Content-Length--> JSON | binary data
"""

from __future__ import annotations

import asyncio
import inspect
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.core.errors import InvalidInput, PayloadTooLarge, UnsupportedMedia
from app.edge.edge import edge_of
from app.edge.http.body import ClientGone, head_of, read_body, while_connected
from app.edge.http.routing import CLIENT_CLOSED, BytesRoute
from app.protocols.oip.schema import OipError

HEADER_LENGTH = "inference-header-content-length"
ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": OipError, "description": "what was wrong, and what is allowed"}
}
# zlib's own form of "deflate" is what the protocol's clients send.
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class OipRoute(BytesRoute):
    """Calls ``async def endpoint(body: Model, request: Request, ...)`` with a body that may be absent."""

    def read(self, model: type[BaseModel], body: bytes, request: Request) -> BaseModel:
        """The request in ``body``.

        Raises:
            ValidationError: the body is not what the model says.
        """
        return model.model_validate_json(body or b"{}")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that Starlette calls."""
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint
        parameters = inspect.signature(endpoint, eval_str=True).parameters
        annotation = next(iter(parameters.values())).annotation
        annotation = getattr(annotation, "__origin__", annotation)
        if not issubclass(annotation, BaseModel):
            return super().get_route_handler()
        path = [name for name in parameters if name in self.param_convertors]

        async def handle(request: Request) -> Response:
            edge = edge_of(request)
            limits, lifecycle = edge.limits, edge.lifecycle
            try:
                body = await _plain_body(request, limits.max_body_bytes, limits.request_timeout_s)
                parsed = self.read(annotation, body, request)
                lifecycle.admit()
                try:
                    work = endpoint(parsed, request, **{name: request.path_params[name] for name in path})
                    return await while_connected(request.scope, request.receive, work)
                finally:
                    lifecycle.running -= 1
            except ClientGone:
                return Response(status_code=CLIENT_CLOSED)

        return handle


def header_length(request: Request, body: bytes) -> int | None:
    """Bytes of JSON at the beginning of the body; ``None`` where all of it is.

    Raises:
        InvalidInput: the header is no such number.
    """
    given = request.headers.get(HEADER_LENGTH)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 10 and int(given) <= len(body)):
        raise InvalidInput(
            "Inference-Header-Content-Length",
            f"Inference-Header-Content-Length is a number of bytes of the body, which has {len(body)}",
            allowed={"min": 0, "max": len(body)},
        )
    return int(given)


async def _plain_body(request: Request, limit_bytes: int, timeout_s: float) -> bytes:
    scope = request.scope
    encoding = head_of(scope).encoding
    try:
        _, body = await read_body(_unencoded(scope), request.receive, limit_bytes, timeout_s)
    except InvalidInput:
        return b""  # nothing else is invalid at this point than a body without a byte
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise UnsupportedMedia(f"content-encoding {encoding}", ("identity", *_WINDOW_BITS))
    return await asyncio.to_thread(_inflate, body, encoding, limit_bytes)


def _unencoded(scope: Scope) -> Scope:
    """The scope as if the body were not compressed, which reading it would refuse."""
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-encoding"]
    return {**scope, "headers": headers}


def _inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body as it was before it was compressed; never more than the limit is made of it.

    Raises:
        PayloadTooLarge: it is larger than the limit.
        InvalidInput: it is cut short, or not of that encoding.
    """
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
