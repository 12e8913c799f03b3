"""The route class, which validates a body's bytes in one pass, and the table of the routes asked most."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any, ClassVar, TypeVar

from fastapi import Body
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import InvalidInput, UnsupportedMedia
from app.edge.edge import edge_of
from app.edge.http.body import (
    JSON_TYPES,
    PLAIN,
    ClientGone,
    Head,
    is_json,
    json_text,
    read_body,
    unpacked,
    while_connected,
)
from app.edge.http.large_bodies import LARGE_BYTES
from app.edge.http.middleware import TaggedSend
from app.service.call import Timing
from app.tasks.session import Examples

Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Answer = Callable[[Request, Exception], Coroutine[Any, Any, Response]]
_ITEM_SEGMENTS = 4
"""Of ``/resource/{id}/action`` when it is split at its slashes."""
ModelT = TypeVar("ModelT", bound=BaseModel)

_FEW = 64
_PLAIN_VALUES = frozenset({float, int, str, bool, type(None)})
CLIENT_CLOSED = 499
"""Never sent, since nobody is there; it is what the metrics say."""

PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": PROBLEM_CONTENT}
    for status, text in (
        (404, "no such model"),
        (413, "the body is over the limit"),
        (415, "the content type is not read here"),
        (422, "a field is wrong: which, why, and what is allowed"),
        (500, "the model failed on this request, or the server did"),
        (503, "busy or shutting down; see Retry-After"),
        (504, "the deadline passed"),
    )
}


class JsonBytes(Response):
    """An answer that is JSON already, or another text; headers are written without Starlette's detours."""

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = (),
        media_type: bytes = b"application/json",
    ) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        length = b"%d" % len(body)
        self.raw_headers = [(b"content-length", length), (b"content-type", media_type), *headers]


class BytesRoute(APIRoute):
    """Calls ``async def endpoint(body: Model, request: Request, ...) -> Response`` without detours.

    FastAPI's own way, bytes to dictionary to model and back, costs more than a small network.
    An endpoint without a body takes the request first. Further parameters are those of the path.
    While an endpoint with a body works, a client that goes away cancels it.
    """

    absent: ClassVar[bytes | None] = None
    """Stands for a body that is empty; ``None`` refuses it."""

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        if content_type != JSON_TYPES[0] and not is_json(content_type):
            raise UnsupportedMedia(content_type, JSON_TYPES[:1])
        if not body.startswith(PLAIN) or len(body) >= LARGE_BYTES:
            body = await json_text(body, edge_of(request))
        return model.model_validate_json(body)

    async def _parse_large(
        self, model: type[BaseModel], head: Head, body: bytes, request: Request
    ) -> BaseModel:
        edge = edge_of(request)
        limits = edge.limits
        async with edge.large_bodies.turn(len(body), limits.request_timeout_s):
            body = await unpacked(head, body, limits.max_body_bytes)
            return await self.parse(model, head.media_type, body, request)

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that would be refused whatever its body says, which is not read then."""
        return None

    def get_route_handler(self) -> Handler:
        endpoint: Endpoint = self.endpoint
        parameters = inspect.signature(endpoint, eval_str=True).parameters
        first = next(iter(parameters.values()))
        annotation = getattr(first.annotation, "__origin__", first.annotation)
        if annotation is Request:

            async def handle(request: Request) -> Response:
                return await endpoint(request, **request.scope["path_params"])

            return handle

        async def handle_body(request: Request) -> Response:
            scope, receive = request.scope, request.receive
            edge = edge_of(request)
            limits = edge.limits
            if (refusal := self.refusal(request)) is not None:
                return refusal
            try:
                head, body = await read_body(
                    scope, receive, limits.max_body_bytes, limits.request_timeout_s, self.absent
                )
                if len(body) < LARGE_BYTES and not head.encoding:
                    parsed = await self.parse(annotation, head.media_type, body, request)
                else:
                    parsed = await self._parse_large(annotation, head, body, request)
                with edge.lifecycle.admitted():
                    work = endpoint(parsed, request, **scope["path_params"])
                    return await while_connected(scope, receive, work)
            except ClientGone:
                return Response(status_code=CLIENT_CLOSED)

        return handle_body


class DirectRoutes:
    """The innermost middleware; ``answer`` raises those of the ``failures`` that are not for the client.

    The router, which asks one route after the other, is left with what is rare, or wrong.
    """

    def __init__(
        self, app: ASGIApp, routes: Iterable[BaseRoute], failures: tuple[type[Exception], ...], answer: Answer
    ) -> None:
        self._app = app
        self._failures = failures
        self._answer = answer
        self._fixed: dict[tuple[str, str], tuple[BytesRoute, Handler]] = {}
        self._items: dict[tuple[str, str, str], tuple[BytesRoute, Handler, str]] = {}
        for route in routes:
            if isinstance(route, BytesRoute):
                self._add(route)

    def _add(self, route: BytesRoute) -> None:
        handler = route.get_route_handler()
        names = list(route.param_convertors)
        segments = route.path_format.split("/")
        for method in route.methods or ():
            if not names:
                self._fixed.setdefault((method, route.path_format), (route, handler))
            elif len(segments) == _ITEM_SEGMENTS and segments[2] == f"{{{names[0]}}}" and len(names) == 1:
                key = (method, segments[1], segments[3])
                self._items.setdefault(key, (route, handler, names[0]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            asked = {**scope, "method": "GET"}
            try:
                await self(asked, receive, _without_body(send))
            finally:
                scope["route"] = asked.get("route")
            return
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handler, scope["path_params"] = found
        request = Request(scope, receive, send)
        try:
            response = await handler(request)
        except self._failures as error:
            response = await self._answer(request, error)
        if (
            type(response) is JsonBytes
            and type(send) is TaggedSend
            and send.at_once(response.status_code, response.raw_headers, bytes(response.body))
        ):
            return
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[BytesRoute, Handler, dict[str, str]] | None:
        if scope["root_path"]:
            return None
        path = scope["path"]
        fixed = self._fixed.get((scope["method"], path))
        if fixed is not None:
            return *fixed, {}
        segments = path.split("/")
        if len(segments) != _ITEM_SEGMENTS or not segments[2]:
            return None
        item = self._items.get((scope["method"], segments[1], segments[3]))
        return None if item is None else (item[0], item[1], {item[2]: segments[2]})


def _without_body(send: Send) -> Send:
    """What answers HEAD as GET would be answered."""

    async def head_only(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return head_only


def reading(endpoint: Endpoint, request: Any, examples: Examples) -> Endpoint:
    """The endpoint with the class that its body is read as, and examples of it."""
    openapi_examples: Any = dict(examples)
    endpoint.__annotations__ |= {
        "body": Annotated[request, Body(openapi_examples=openapi_examples)],
        "request": Request,
        "return": Response,
    }
    return endpoint


def query_parameters(model: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a query that is read with :func:`query_of`."""
    fields = model.model_json_schema()["properties"]
    return {"parameters": [{"name": name, "in": "query", "schema": field} for name, field in fields.items()]}


def query_of(request: Request, model: type[ModelT], fields: Iterable[tuple[str, str]] = ()) -> ModelT:
    """The query and a form's fields as a model that reads text; raises InvalidInput and ValidationError."""
    items = [*request.query_params.multi_items(), *fields]
    given = dict(items)
    if len(given) != len(items):
        raise InvalidInput("query", "a parameter of the query is given twice")
    return model.model_validate(given)


def has_many(value: Any) -> bool:
    """Whether a list or a dictionary near the top is long: cheaper than the size, and almost always false."""
    for one in value.__dict__.values():
        kind = type(one)
        if kind in _PLAIN_VALUES:
            continue
        if kind is list or kind is dict:
            if len(one) > _FEW:
                return True
            one = one[0] if kind is list and one else None
        if hasattr(one, "__dict__") and has_many(one):
            return True
    return False


def json_response(
    answer: BaseModel, timing: Timing | None = None, status: int = 200, location: str | None = None
) -> Response:
    return bytes_response(answer.__pydantic_serializer__.to_json(answer), timing, status, location)


def bytes_response(
    body: bytes,
    timing: Timing | None = None,
    status: int = 200,
    location: str | None = None,
    media_type: bytes = b"application/json",
) -> Response:
    headers = []
    if timing is not None:
        headers.append((b"server-timing", server_timing(timing).encode("ascii")))
    if location is not None:
        headers.append((b"location", location.encode("latin-1")))
    return JsonBytes(body, status, headers, media_type)


def server_timing(timing: Timing) -> str:
    return (
        f"queue;dur={timing.queue_s * 1e3:.3f}, compute;dur={timing.compute_s * 1e3:.3f}, "
        f"total;dur={timing.total_s * 1e3:.3f}"
    )
