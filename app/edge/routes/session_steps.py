"""The session routes that the registered tasks shape: opening one, steps, with and without one, actions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.core.errors import RnnserveError
from app.edge.edge import known, owner_of, request_id_of, sessions_of
from app.edge.errors import describe, is_internal
from app.edge.http.event_stream import stream_events
from app.edge.http.routing import Endpoint, bytes_response, json_response, reading
from app.edge.openapi import OPTIONAL_BODY, RESUMING, stream_responses
from app.edge.routes.sessions import SESSION_PROBLEMS, SessionPath, SessionRoute
from app.service.call import RequestClock
from app.sessions.limits import SessionLimits
from app.sessions.schema import (
    CreateSession,
    SessionInfo,
    StatelessAnswer,
    StatelessRequest,
    StepAnswer,
    StepRequest,
    StepsAnswer,
    StepsRequest,
    of_at_most,
    of_tasks,
)
from app.sessions.steps.calls import StepCall
from app.tasks.session import Examples, SessionAction
from app.tasks.task import Task, Tasks

logger = logging.getLogger(__name__)


def session_steps_router(tasks: Tasks, limits: SessionLimits) -> APIRouter:
    router = APIRouter(route_class=SessionRoute, tags=["sessions"], responses=SESSION_PROBLEMS)

    def post(path: str, endpoint: Endpoint, body: Any, examples: Examples, answer: Any, **more: Any) -> None:
        endpoint = reading(endpoint, body, examples)
        router.add_api_route(path, endpoint, methods=["POST"], response_model=answer, **more)

    names = tuple(tasks.by_name)
    creating = {
        name: {"summary": f"On the default model of {name}", "value": {"task": name}} for name in names
    }
    post("/sessions", open_session, of_tasks(CreateSession, names), creating, SessionInfo, status_code=201)
    starting = _examples(tasks, lambda name, step: {"task": name, "inputs": step["inputs"]})
    post("/steps", step_state, of_tasks(StatelessRequest, names), starting, StatelessAnswer)
    two = _examples(tasks, lambda name, step: {"steps": [{"id": id, **step} for id in ("a", "b")]})
    post("/sessions/steps", step_many_sessions, of_at_most(limits.session_max_batch_calls), two, StepsAnswer)
    steps = {f"{task.name}_{key}": step for task in tasks for key, step in task.step_examples.items()}
    post("/sessions/{id}/steps", step_session, StepRequest, steps, StepAnswer)
    for task in tasks:
        for action in task.actions:
            fields = action.request.model_fields.values()
            extra = {} if any(field.is_required() for field in fields) else OPTIONAL_BODY
            more: Any = {"openapi_extra": extra or None}
            if action.frames:
                more = {"responses": stream_responses(action.frames), "openapi_extra": RESUMING | extra}
            path, endpoint = f"/sessions/{{id}}/{action.name}", _action(task, action)
            post(path, endpoint, action.request, action.examples, action.answer, **more)
    return router


def _examples(tasks: Tasks, of_step: Callable[[str, Any], Any]) -> Examples:
    """Requests that work when pressed in ``/docs``, made from the first step of each task's examples."""
    return {
        task.name: {"summary": example["summary"], "value": of_step(task.name, example["value"])}
        for task in tasks
        for example in list(task.step_examples.values())[:1]
    }


async def open_session(body: CreateSession, request: Request) -> Response:
    """Open a session on a model, at its start or from a downloaded state."""
    info = await sessions_of(request).service.create(body, owner_of(request))
    return json_response(info, status=201, location=f"/sessions/{info.id}")


async def step_state(body: StatelessRequest, request: Request) -> Response:
    """Steps on a state that the client carries; the server keeps nothing."""
    return json_response(await sessions_of(request).service.states.stateless(body))


async def step_many_sessions(body: StepsRequest, request: Request) -> Response:
    """Events of many sessions in one request, each answered on its own, in the order of the calls."""
    calls = [StepCall(step.id, step.inputs, step.seq) for step in body.steps]
    clock = RequestClock()
    outcomes = await sessions_of(request).service.steps(calls, owner_of(request), clock)
    request_id = request_id_of(request)
    results = [_result(call, outcome, request_id) for call, outcome in zip(calls, outcomes, strict=True)]
    answer = orjson.dumps({"results": list(map(orjson.Fragment, results))})
    return bytes_response(answer, clock.timing())


async def step_session(body: StepRequest, request: Request, id: SessionPath) -> Response:
    """Apply one event or several as one: whole or not at all, and with `seq` exactly once."""
    call = StepCall(known(id), body.inputs, body.seq)
    clock = RequestClock()
    (outcome,) = await sessions_of(request).service.steps([call], owner_of(request), clock)
    if isinstance(outcome, RnnserveError):
        raise outcome
    return bytes_response(outcome, clock.timing())


def named(id: str, answer: bytes, opening: bytes = b"{") -> bytes:
    """A step's answer with the session's id before its fields; put together as bytes, since what a retry
    gets is the stored answer, and to parse it would cost every call.
    """
    return opening + b'"id":' + orjson.dumps(id) + b"," + answer[1:]


def _result(call: StepCall, outcome: bytes | RnnserveError, request_id: str) -> bytes:
    if isinstance(outcome, bytes):
        return named(call.id, outcome)
    if is_internal(outcome):
        logger.error("a step of session %s failed", call.id, exc_info=outcome)
    problem = describe(outcome, request_id).model_dump(mode="json", exclude_none=True)
    seq = {} if call.seq is None else {"seq": call.seq}
    return orjson.dumps({"id": call.id, **seq, "error": problem})


def _action(task: Task, action: SessionAction) -> Endpoint:
    async def endpoint(body: Any, request: Request, id: str) -> Response:
        actions, owner = sessions_of(request).service.actions, owner_of(request)
        if not (action.frames and body.stream):
            return bytes_response(await actions.answer(known(id), action, body, owner))
        return await stream_events(
            request, task, lambda point: actions.stream(known(id), action, body, owner, point)
        )

    endpoint.__name__, endpoint.__doc__ = f"{action.name}_from_session", action.doc
    endpoint.__annotations__["id"] = SessionPath
    return endpoint
