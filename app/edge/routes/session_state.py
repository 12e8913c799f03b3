"""A session's state and answers from it: ``/state``, ``/forecast``, ``/generate``; and ``POST /steps``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from app.edge.docs import session_examples as examples
from app.edge.docs.events import RESUMING, SESSION_GENERATION
from app.edge.edge import edge_of, owner_of, request_id_of, sessions_of
from app.edge.http.event_stream import EventStream, last_event_id
from app.edge.http.routing import BytesRoute, bytes_response, json_response, query_of
from app.edge.routes.sessions import SESSION_PROBLEMS, SessionPath, known
from app.sessions.schema import (
    ForecastFromState,
    GenerateFromState,
    RowQuery,
    SessionForecast,
    SessionRow,
    SessionText,
    StateAnswer,
    StatelessAnswer,
    StatelessRequest,
)

router = APIRouter(route_class=BytesRoute, tags=["sessions"])


@router.get("/sessions/{id}/state", response_model=StateAnswer, responses=SESSION_PROBLEMS)
async def state(request: Request, id: SessionPath) -> Response:
    """The portable state, signed and bound to the model's graph, for `POST /sessions` or `POST /steps`."""
    return json_response(await sessions_of(request).service.states.export(known(id), owner_of(request)))


@router.get(
    "/sessions/{id}/row",
    response_model=SessionRow,
    responses=SESSION_PROBLEMS,
    openapi_extra={
        "parameters": [
            {
                "name": "fields",
                "in": "query",
                "schema": {"type": "string", "maxLength": 4096},
                "description": "names of fields, by commas; left out, all of them",
            }
        ]
    },
)
async def row(request: Request, id: SessionPath) -> Response:
    """The numbers of the state, by the names that `state` of `GET /models/{name}` gives: to look at."""
    names = tuple(filter(None, query_of(request, RowQuery).fields.split(",")))
    states = sessions_of(request).service.states
    return json_response(await states.row(known(id), names, owner_of(request)))


@router.post("/sessions/{id}/forecast", response_model=SessionForecast, responses=SESSION_PROBLEMS)
async def forecast(
    body: Annotated[ForecastFromState, Body(openapi_examples=examples.FORECAST)],
    request: Request,
    id: SessionPath,
) -> Response:
    """What lies ahead of the last observation. Nothing is run, and the session stays as it is."""
    states = sessions_of(request).service.states
    return json_response(await states.forecast(known(id), body, owner_of(request)))


@router.post(
    "/sessions/{id}/generate",
    response_model=SessionText,
    responses=SESSION_PROBLEMS | SESSION_GENERATION,
    openapi_extra=RESUMING,
)
async def generate(
    body: Annotated[GenerateFromState, Body(openapi_examples=examples.GENERATE)],
    request: Request,
    id: SessionPath,
) -> Response:
    """Text from the present state. With `advance` the prompt and the text become steps of the session."""
    texts = sessions_of(request).service.texts
    if not body.stream:
        return bytes_response(await texts.generate(known(id), body, owner_of(request)))
    point = last_event_id(request)
    if point is not None and point.given is None:
        # It has everything; this status tells an EventSource not to come again.
        return Response(status_code=204)
    stream = await texts.stream(known(id), body, owner_of(request), point)
    return EventStream(stream, edge_of(request).limits.socket_send_s, request_id_of(request))


@router.post("/steps", response_model=StatelessAnswer, responses=SESSION_PROBLEMS)
async def stateless(
    body: Annotated[StatelessRequest, Body(openapi_examples=examples.STATELESS)], request: Request
) -> Response:
    """Steps on a state that the client carries; the server keeps nothing."""
    return json_response(await sessions_of(request).service.states.stateless(body))
