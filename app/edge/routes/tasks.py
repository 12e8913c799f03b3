"""``POST /{task}`` and ``WS /{task}`` of every registered task."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, ClassVar

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from app.core.errors import InvalidInput, Overloaded, UnsupportedMedia
from app.core.offload import offloaded
from app.edge.edge import edge_of, request_id_of
from app.edge.errors import MEDIA_TYPE, describe
from app.edge.http.body import JSON_TYPES, is_json
from app.edge.http.event_stream import stream_events
from app.edge.http.routing import PROBLEMS, BytesRoute, Endpoint, JsonBytes, json_response, query_of, reading
from app.edge.openapi import RESUMING, stream_responses
from app.edge.sockets.connection import deny, refusal
from app.edge.sockets.task_socket import TaskSocket
from app.tasks.task import BodyReader, Task


class TaskRoute(BytesRoute):
    """While all models of the task are full, a request is refused unread: refusals must cost little."""

    task: ClassVar[Task]

    async def parse(
        self, model: type[BaseModel], content_type: str, body: bytes, request: Request
    ) -> BaseModel:
        task = self.task
        for reader in task.reads:
            if content_type in reader.media_types:
                query = None if reader.query is None else query_of(request, reader.query)
                limits = edge_of(request).tasks.limits[task.name]
                cost_ms = len(body) / 1024 * reader.milliseconds_per_kib
                return await offloaded(cost_ms, reader.read, body, query, limits)
        if request.scope["query_string"]:
            _refuse_query(task, request)
        if not is_json(content_type):
            raise UnsupportedMedia(content_type, JSON_TYPES[:1])
        return model.model_validate_json(body) if task.parse is None else task.parse(body)

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
    kind = type("TaskRoute", (TaskRoute,), {"task": task})
    router = APIRouter(route_class=kind)
    responses, extra = dict(PROBLEMS), _openapi(task.reads)
    if task.frames:
        responses |= stream_responses(task.frames)
        extra |= RESUMING
        router.add_api_websocket_route(f"/{task.name}", _socket(task))
    router.add_api_route(
        f"/{task.name}",
        _endpoint(task),
        methods=["POST"],
        tags=["inference"],
        response_model=task.answer,
        responses=responses,
        openapi_extra=extra or None,
    )
    return router


def _endpoint(task: Task) -> Endpoint:
    async def whole(body: Any, request: Request) -> Response:
        answer, timing = await edge_of(request).service.answer(task, body)
        return json_response(answer, timing)

    async def streamed(body: Any, request: Request) -> Response:
        if not body.stream:
            return await whole(body, request)
        service = edge_of(request).service
        return await stream_events(request, task, lambda point: service.stream(task, body, point))

    endpoint = streamed if task.frames else whole
    endpoint.__name__, endpoint.__doc__ = task.name, task.doc
    return reading(endpoint, task.request, task.examples)


def _socket(task: Task) -> Callable[[WebSocket], Coroutine[Any, Any, None]]:
    async def socket(websocket: WebSocket) -> None:
        refused = refusal(edge_of(websocket))
        if refused is not None:
            await deny(websocket, refused)
            return
        await TaskSocket(websocket, task).run()

    return socket


def _refuse_query(task: Task, request: Request) -> None:
    """Refuse what another content type has in the query, and this one in the body."""
    known = {name for reader in task.reads if reader.query for name in reader.query.model_fields}
    for name in request.query_params:
        if name in known:
            raise InvalidInput(name, f"with a JSON body, {name} belongs into the body")


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
