"""A session's state as a value: ``/sessions/{id}/state`` and ``/row``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.edge.edge import known, owner_of, sessions_of
from app.edge.http.routing import BytesRoute, json_response, query_of
from app.edge.routes.sessions import SESSION_PROBLEMS, SessionPath
from app.sessions.schema import RowQuery, SessionRow, StateAnswer

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
