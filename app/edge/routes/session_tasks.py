"""The session routes that the registered tasks shape: opening one, steps without one, and actions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.edge.docs import session_examples as examples
from app.edge.docs.events import RESUMING, stream_responses
from app.edge.edge import edge_of, known, owner_of, request_id_of, sessions_of
from app.edge.http.event_stream import EventStream, last_event_id
from app.edge.http.routing import BytesRoute, bytes_response, json_response
from app.edge.routes.sessions import SESSION_PROBLEMS, SessionPath
from app.sessions.schema import CreateSession, SessionInfo, StatelessAnswer, StatelessRequest, of_tasks
from app.tasks.session import SessionAction
from app.tasks.task import Task, Tasks

Endpoint = Callable[..., Coroutine[Any, Any, Response]]


def session_tasks_router(tasks: Tasks) -> APIRouter:
    router = APIRouter(route_class=BytesRoute, tags=["sessions"])
    names = tuple(tasks.by_name)
    router.add_api_route(
        "/sessions",
        _reading(create, of_tasks(CreateSession, names), examples.CREATE),
        methods=["POST"],
        status_code=201,
        response_model=SessionInfo,
        responses=SESSION_PROBLEMS,
    )
    router.add_api_route(
        "/steps",
        _reading(stateless, of_tasks(StatelessRequest, names), examples.STATELESS),
        methods=["POST"],
        response_model=StatelessAnswer,
        responses=SESSION_PROBLEMS,
    )
    for task in tasks:
        for action in task.actions:
            router.add_api_route(
                f"/sessions/{{id}}/{action.name}",
                _action(task, action),
                methods=["POST"],
                response_model=action.answer,
                responses=SESSION_PROBLEMS | (stream_responses(action.frames) if action.frames else {}),
                openapi_extra=RESUMING if action.frames else None,
            )
    return router


async def create(body: CreateSession, request: Request) -> Response:
    """Open a session on a model, at its start or from a downloaded state."""
    info = await sessions_of(request).service.create(body, owner_of(request))
    return json_response(info, status=201, location=f"/sessions/{info.id}")


async def stateless(body: StatelessRequest, request: Request) -> Response:
    """Steps on a state that the client carries; the server keeps nothing."""
    return json_response(await sessions_of(request).service.states.stateless(body))


def _action(task: Task, action: SessionAction) -> Endpoint:
    async def endpoint(body: Any, request: Request, id: str) -> Response:
        actions, owner = sessions_of(request).service.actions, owner_of(request)
        if not (action.frames and body.stream):
            return bytes_response(await actions.answer(known(id), action, body, owner))
        point = last_event_id(request, task)
        if point is not None and point.complete:
            # It has everything; this status tells an EventSource not to come again.
            return Response(status_code=204)
        stream = await actions.stream(known(id), action, body, owner, point)
        return EventStream(stream, edge_of(request).limits.socket_send_s, request_id_of(request))

    endpoint.__name__, endpoint.__doc__ = action.name, action.doc
    endpoint.__annotations__["id"] = SessionPath
    return _reading(endpoint, action.request, dict(action.examples))


def _reading(endpoint: Endpoint, request: Any, openapi_examples: Any) -> Endpoint:
    """The endpoint with the class that its body is read as, and examples of it."""
    endpoint.__annotations__ |= {
        "body": Annotated[request, Body(openapi_examples=openapi_examples)],
        "request": Request,
        "return": Response,
    }
    return endpoint
