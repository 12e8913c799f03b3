"""``/sessions``: look, list, fork, migrate and close; snapshots, and the state as a value."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from starlette.requests import Request
from starlette.responses import Response

from app.edge.edge import known, owner_of, sessions_of
from app.edge.http.routing import PROBLEMS, BytesRoute, json_response, query_of, query_parameters
from app.edge.openapi import OPTIONAL_BODY
from app.sessions.schema import (
    ForkRequest,
    MigrateRequest,
    PageQuery,
    RewindRequest,
    RowQuery,
    SessionInfo,
    SessionPage,
    SessionRow,
    SnapshotInfo,
    SnapshotList,
    SnapshotRequest,
    StateAnswer,
)

SessionPath = Annotated[str, Path(description="the session's id")]

SESSION_PROBLEMS = PROBLEMS | {
    status: {**PROBLEMS[422], "description": text}
    for status, text in (
        (404, "no such session or model"),
        (409, "another step is due, or the id is taken: `step` and `expected` say what is held"),
        (410, "the session has ended: `reason`, `ended_at` and `step` say why, when and where"),
        (412, "the session belongs to a model version that does not answer here"),
        (429, "the caller has as many sessions as it may"),
        (500, "the step would have spoilt the state, or the stored session is damaged"),
        (503, "busy, full, shutting down, or the store does not answer; see Retry-After"),
    )
}

_Fork = Annotated[ForkRequest, Body(openapi_examples={"copy": {"summary": "An id is drawn", "value": {}}})]
_Rewind = Annotated[
    RewindRequest,
    Body(
        openapi_examples={
            "name": {"summary": "To a named snapshot", "value": {"to": "calm"}},
            "start": {"summary": "To the start", "value": {"to": 0}},
        }
    ),
]


class SessionRoute(BytesRoute):
    """An action on a session, for which a body may say more."""

    absent = b"{}"


router = APIRouter(route_class=SessionRoute, tags=["sessions"], responses=SESSION_PROBLEMS)


@router.get("/sessions", response_model=SessionPage, openapi_extra=query_parameters(PageQuery))
async def list_sessions(request: Request) -> Response:
    """Open sessions in the order of their ids, a page at a time."""
    query = query_of(request, PageQuery)
    return json_response(await sessions_of(request).service.page(query.after, query.limit, owner_of(request)))


@router.get("/sessions/{id}", response_model=SessionInfo)
async def describe_session(request: Request, id: SessionPath) -> Response:
    """One session, without its state."""
    return json_response(await sessions_of(request).service.view(known(id), owner_of(request)))


@router.delete("/sessions/{id}", status_code=204)
async def end_session(request: Request, id: SessionPath) -> Response:
    """End a session. For a while its id answers 410, so that others learn what became of it."""
    await sessions_of(request).service.close(known(id), owner_of(request))
    return Response(status_code=204)


@router.post("/sessions/{id}/fork", status_code=201, response_model=SessionInfo, openapi_extra=OPTIONAL_BODY)
async def fork_session(body: _Fork, request: Request, id: SessionPath) -> Response:
    """An independent copy of the present state, under an id of its own."""
    info = await sessions_of(request).service.fork(known(id), body, owner_of(request))
    return json_response(info, status=201, location=f"/sessions/{info.id}")


@router.post("/sessions/{id}/migrate", response_model=SessionInfo)
async def migrate_session(body: MigrateRequest, request: Request, id: SessionPath) -> Response:
    """Go on with another version of the model, when its rows mean the same."""
    history = sessions_of(request).service.history
    return json_response(await history.migrate(known(id), body.model, owner_of(request)))


@router.post(
    "/sessions/{id}/snapshots", status_code=201, response_model=SnapshotInfo, openapi_extra=OPTIONAL_BODY
)
async def keep_snapshot(body: SnapshotRequest, request: Request, id: SessionPath) -> Response:
    """Keep the present state under a name."""
    info = await sessions_of(request).service.history.snapshot(known(id), body.name, owner_of(request))
    return json_response(info, status=201)


@router.get("/sessions/{id}/snapshots", response_model=SnapshotList)
async def list_snapshots(request: Request, id: SessionPath) -> Response:
    """The kept states, oldest first; automatic ones make room for new ones, named ones stay."""
    history = sessions_of(request).service.history
    return json_response(await history.snapshots(known(id), owner_of(request)))


@router.post("/sessions/{id}/rewind", response_model=SessionInfo)
async def rewind_session(body: _Rewind, request: Request, id: SessionPath) -> Response:
    """Go back to a kept state, by its name or its step; 0 is the start."""
    history = sessions_of(request).service.history
    return json_response(await history.rewind(known(id), body.to, owner_of(request)))


@router.get("/sessions/{id}/state", response_model=StateAnswer)
async def download_state(request: Request, id: SessionPath) -> Response:
    """The portable state, signed and bound to the model's graph, for `POST /sessions` or `POST /steps`."""
    return json_response(await sessions_of(request).service.states.export(known(id), owner_of(request)))


@router.get("/sessions/{id}/row", response_model=SessionRow, openapi_extra=query_parameters(RowQuery))
async def read_row(request: Request, id: SessionPath) -> Response:
    """The numbers of the state, by the names that `state` of `GET /models/{name}` gives: to look at."""
    names = tuple(filter(None, query_of(request, RowQuery).fields.split(",")))
    states = sessions_of(request).service.states
    return json_response(await states.row(known(id), names, owner_of(request)))
