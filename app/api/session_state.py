"""A session's state and answers from it: ``/state``, ``/forecast``, ``/generate``; and ``POST /steps``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.api import session_examples as examples
from app.api.edge import edge_of, request_id_of, sessions_of
from app.api.event_stream import EventStream, last_event_id
from app.api.routing import BytesRoute, bytes_response, json_response
from app.api.sessions import SESSION_PROBLEMS, SessionPath, known
from app.schemas.session import (
    ForecastFromState,
    GenerateFromState,
    SessionForecast,
    SessionText,
    StateAnswer,
    StatelessAnswer,
    StatelessRequest,
)

router = APIRouter(route_class=BytesRoute, tags=["sessions"])


@router.get("/sessions/{id}/state", response_model=StateAnswer, responses=SESSION_PROBLEMS)
async def state(request: Request, id: SessionPath) -> Response:
    """The portable state, signed and bound to the model's graph, for `POST /sessions` or `POST /steps`."""
    return json_response(await sessions_of(request).service.states.export(known(id)))


@router.post("/sessions/{id}/forecast", response_model=SessionForecast, responses=SESSION_PROBLEMS)
async def forecast(
    body: Annotated[ForecastFromState, Body(openapi_examples=examples.FORECAST)],
    request: Request,
    id: SessionPath,
) -> Response:
    """What lies ahead of the last observation. Nothing is run, and the session stays as it is."""
    return json_response(await sessions_of(request).service.states.forecast(known(id), body))


@router.post(
    "/sessions/{id}/generate",
    response_model=SessionText,
    responses=SESSION_PROBLEMS
    | {
        200: {
            "description": "the whole answer; with `stream`, events `token`, then `done` or `error`",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def generate(
    body: Annotated[GenerateFromState, Body(openapi_examples=examples.GENERATE)],
    request: Request,
    id: SessionPath,
) -> Response:
    """Text from the present state. With `advance` the prompt and the text become steps of the session."""
    texts = sessions_of(request).service.texts
    if not body.stream:
        return bytes_response(await texts.generate(known(id), body))
    point = last_event_id(request)
    if point is not None and point.given is None:
        # It has everything; this status tells an EventSource not to come again.
        return Response(status_code=204)
    stream = await texts.stream(known(id), body, point=point)
    return EventStream(stream, edge_of(request).limits.socket_send_s, request_id_of(request))


@router.post("/steps", response_model=StatelessAnswer, responses=SESSION_PROBLEMS)
async def stateless(
    body: Annotated[StatelessRequest, Body(openapi_examples=examples.STATELESS)], request: Request
) -> Response:
    """Steps on a state that the client carries; the server keeps nothing."""
    return json_response(await sessions_of(request).service.states.stateless(body))
