"""``POST /{task}``, ``WS /{task}`` and the operations of every registered task."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, ClassVar

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from app.core.errors import Overloaded, RnnserveError
from app.core.large_answers import json_of
from app.core.offload import offloaded
from app.edge.edge import edge_of, request_id_of, sessions_of
from app.edge.errors import MEDIA_TYPE, describe
from app.edge.http.accept import wanted_type
from app.edge.http.body import JSON_TYPES, PLAIN
from app.edge.http.event_stream import stream_events
from app.edge.http.large_bodies import LARGE_BYTES
from app.edge.http.routing import (
    PROBLEMS,
    BytesRoute,
    Endpoint,
    JsonBytes,
    bytes_response,
    has_many,
    json_response,
    reading,
)
from app.edge.http.task_body import read_request
from app.edge.openapi import RESUMING, stream_responses, written_responses
from app.edge.sockets.connection import deny, refusal
from app.edge.sockets.live_socket import LiveSocket
from app.edge.sockets.task_socket import TaskSocket
from app.tasks.model import Answering
from app.tasks.task import BodyReader, Operation, Task

Asked = Task | Operation


class TaskRoute(BytesRoute):
    """While all models of the task are full, a request is refused unread: refusals must cost little."""

    task: ClassVar[Task]
    asked: ClassVar[Asked]

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        asked, is_plain = self.asked, body.startswith(PLAIN) and len(body) < LARGE_BYTES
        if content_type == JSON_TYPES[0] and is_plain and not request.scope["query_string"]:
            return model.model_validate_json(body) if asked.parse is None else asked.parse(body)
        limits = edge_of(request).tasks.limits[self.task.name]
        return await read_request(request, content_type, body, model, asked.reads, asked.parse, limits)

    def refusal(self, request: Request) -> Response | None:
        """503, which says how long the shortest queue needs; counted as any other."""
        service = edge_of(request).service
        wait_s = service.full_for_s(self.task.name)
        if wait_s is None:
            return None
        service.count_refusal(self.task.name)
        return _busy(request_id_of(request), wait_s)


def _busy(request_id: str, wait_s: float) -> JsonBytes:
    """In a rush there are thousands, so all of it but the id is made once: 1 us instead of 100."""
    seconds = max(1, math.ceil(wait_s))
    body = orjson.dumps({**_full(seconds), "request_id": request_id})
    return JsonBytes(body, 503, [(b"retry-after", b"%d" % seconds)], MEDIA_TYPE.encode())


@lru_cache(maxsize=64)
def _full(seconds: int) -> dict[str, Any]:
    error = Overloaded("the model's queue is full; try again later", retry_after_s=float(seconds))
    return describe(error, "").model_dump(exclude_none=True)


def task_router(task: Task) -> APIRouter:
    router = APIRouter()
    responses, extra = PROBLEMS | written_responses(task.writes), _openapi(task.reads)
    if task.frames:
        responses |= stream_responses(task.frames)
        extra |= RESUMING
    if task.frames or task.live is not None:
        router.add_api_websocket_route(f"/{task.name}", _socket(task))
    _add(router, task, task, f"/{task.name}", _endpoint(task), responses, extra)
    for operation in task.operations:
        endpoint = _endpoint_of(task, operation)
        written = PROBLEMS | written_responses(operation.writes)
        _add(router, task, operation, operation.path, endpoint, written, _openapi(operation.reads))
    return router


def _add(
    router: APIRouter,
    task: Task,
    asked: Asked,
    path: str,
    endpoint: Endpoint,
    responses: dict[int | str, dict[str, Any]],
    extra: dict[str, Any],
) -> None:
    fetched = isinstance(asked, Operation) and asked.fetched
    router.add_api_route(
        path,
        endpoint,
        methods=["GET" if fetched else "POST"],
        summary=re.split("[.;]", asked.doc)[0],
        tags=["inference"],
        response_model=asked.answer,
        responses=responses,
        openapi_extra=extra or None,
        route_class_override=BytesRoute
        if fetched
        else type("TaskRoute", (TaskRoute,), {"task": task, "asked": asked}),
    )


def _endpoint_of(task: Task, operation: Operation) -> Endpoint:
    whole = endpoint = _whole(task, operation, operation.of)

    async def fetch(request: Request) -> Response:
        return await whole(operation.request(), request)

    if operation.fetched:
        endpoint = fetch
    endpoint.__name__, endpoint.__doc__ = operation.path.strip("/").replace("/", "_"), operation.doc
    if operation.fetched:
        return endpoint
    return reading(endpoint, operation.request, operation.examples)


def _endpoint(task: Task) -> Endpoint:
    whole = _whole(task, task)

    async def streamed(body: Any, request: Request) -> Response:
        if not body.stream:
            return await whole(body, request)
        service = edge_of(request).service
        return await stream_events(request, task, lambda point: service.stream(task, body, point))

    endpoint = streamed if task.frames else whole
    endpoint.__name__, endpoint.__doc__ = task.name, task.doc
    return reading(endpoint, task.request, task.examples)


def _whole(task: Task, asked: Asked, of: Callable[[Any], Answering] | None = None) -> Endpoint:
    """Answers at once, in the content type that the request prefers."""
    writers = {writer.media_type: writer for writer in asked.writes}

    async def whole(body: Any, request: Request) -> Response:
        answer, timing = await edge_of(request).service.answer(task, body, of)
        wanted = None if asked.wanted is None else asked.wanted(body)
        if wanted is None and writers and b"accept" in dict(request.scope["headers"]):
            wanted = wanted_type(request.scope, writers)
        writer = None if wanted is None else writers.get(wanted)
        if writer is None:
            if has_many(answer):
                return bytes_response(await json_of(answer), timing)
            return json_response(answer, timing)
        body = await offloaded(writer.milliseconds(answer), writer.write, answer)
        kind = writer.media_type
        media_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        return bytes_response(body, timing, media_type=media_type.encode())

    return whole


def _socket(task: Task) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
    async def socket(websocket: WebSocket) -> None:
        refused: RnnserveError | HTTPException | None = refusal(edge_of(websocket))
        try:
            live = None if task.live is None else sessions_of(websocket)
        except HTTPException as error:
            refused = error
        if refused is not None:
            await deny(websocket, refused)
        elif task.live is not None and live is not None:
            await LiveSocket(websocket, task, task.live, live).run()
        else:
            await TaskSocket(websocket, task).run()

    return socket


def _openapi(readers: tuple[BodyReader, ...]) -> dict[str, Any]:
    if not readers:
        return {}
    content = {
        reader.media_types[0]: {"schema": {"type": "string"}, "examples": dict(reader.examples)}
        for reader in readers
    }
    found: dict[str, dict[str, Any]] = {}
    for reader in readers:
        for parameter in _query_parameters(reader):
            found.setdefault(parameter["name"], parameter)
    return {"parameters": [*found.values()], "requestBody": {"content": content}}


def _query_parameters(reader: BodyReader) -> list[dict[str, Any]]:
    if reader.query is None:
        return []
    schema = reader.query.model_json_schema(ref_template="#/components/schemas/{model}")
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"with a {reader.name} body: {field.get('description', name)}",
            "schema": {"type": "integer" if _is_integer(field) else "string"},
        }
        for name, field in schema["properties"].items()
    ]


def _is_integer(field: dict[str, Any]) -> bool:
    return any(part.get("type") == "integer" for part in (field, *field.get("anyOf", ())))
